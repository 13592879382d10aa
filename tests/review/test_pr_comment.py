"""The comment of a pull request: what has changed, and no text of a user that becomes markup, mention or link."""

from projects import Project

from lockstep.evaluation.shown_answers import cut_repetition
from lockstep.review.compare import fixed_questions, read_snapshot
from lockstep.review.pr_comment import MARK, cell, plain
from lockstep.review.revisions import merge_base


def test_texts_of_users_make_no_markup_mention_or_link() -> None:
    assert cell("a|b `c` *d* <i>") == "a\\|b \\`c\\` \\*d\\* &lt;i&gt;"
    assert plain("@all see #1 https://x") == "@\u200ball see #\u200b1 https:/\u200b/x"
    assert cell(" ") == "*(nothing)*"
    assert cell("word " * 200).endswith(" …")


def test_the_comment_tells_figures_settings_answers_leakage_and_gates(branch: Project) -> None:
    done = branch.command("compare")
    assert (done.returncode, done.stderr) == (0, "")
    text = done.stdout
    assert text.startswith(MARK + "\n## ✅ Gates passed · compared with main at ")
    assert "| `evaluate.tuned.perplexity` |" in text
    assert "(−10%)" in text
    assert "| `train.epochs` | 2 | 7 |" in text
    assert "**Leakage:** none" in text
    assert "### The same" in text
    assert "| known | 0 of 3 | 3 of 3 | 0 of 3 | **0 of 3** |" in text
    assert "Right: token F1 of 0.6 or more" in text
    assert len(text) < 65_536


def test_the_two_answers_stand_side_by_side_and_harmless(branch: Project) -> None:
    text = branch.command("compare").stdout
    first = fixed_questions(read_snapshot(merge_base()), read_snapshot(None))[0]
    assert f"| before | {cell(cut_repetition(first.before))} |" in text
    assert "&lt;b&gt;bold&lt;/b&gt; \\| @\u200banswer \\[x\\](http:/\u200b/y)" in text
    assert "*(the same)*" in text
