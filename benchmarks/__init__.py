"""What is measured, and how; docs/performance.md says when and with what result."""

from stages.core.command import set_environment

set_environment()  # before torch is loaded; for rival recipes too
