"""The ways to generate that are timed give the same tokens."""

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from benchmarks import generation


def test_every_way_to_generate_gives_the_same_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    texts = ["Question: Which paint?\nAnswer:", "Question: Why does the old bridge of stone get none?\nAnswer:"]
    engine = generation.RecordingEngine(model, tokenizer)
    ways = generation.ways(model, tokenizer, engine, texts, 6)
    answers = {name: way() for name, way in ways.items()}
    assert len(answers) == 4
    assert all(ids == answers["this pipeline"] for ids in answers.values())
    assert max(map(len, answers["this pipeline"])) == 6
    first = generation.first_token_seconds(model, tokenizer, engine, texts, 6)
    assert len(first) == 3
    assert all(0 < seconds < 60 for seconds in first.values())
