"""What is measured, and how; docs/performance.md says when and with what result."""

from lockstep.core.entry_point import set_environment

set_environment()  # before torch is loaded; for rival recipes too
