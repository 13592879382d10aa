"""A text's sketch depends on the text alone."""

from lockstep.data.sketches import Sketches, fingerprint


def questions(*texts: str) -> Sketches:
    return fingerprint(texts, single_words=True).sketches


def test_sketch_does_not_depend_on_the_texts_around_it() -> None:
    alone, among = questions("Where do otters sleep?"), questions("One more?", "Where do otters sleep?", "And another")
    assert alone.hashes.tolist() == among.hashes[among.starts[1] : among.starts[2]].tolist()
