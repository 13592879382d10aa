"""Load on the server: many clients at once against one, on loopback, with every answer compared.

    python -m benchmarks.serve_load --model models/export

Starts the server by itself, asks all questions one by one (the reference answers and one client's pace), then
lets many clients ask at once for two minutes. Prints a table for docs/serving.md. Exit code 1 when an answer differs
or fails.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

import psutil

TOPICS = (
    "a mean", "a median", "overfitting", "a test split", "a learning rate", "a random forest", "recall", "precision",
    "an outlier", "gradient descent", "a confusion matrix", "clustering", "regression", "a neuron", "a p-value", "bias",
    "a histogram", "variance", "a feature", "a label", "cross-validation", "early stopping", "a token", "an epoch",
    "a batch", "entropy", "a decision tree", "a database", "a missing value", "correlation", "a sample", "a model",
)  # fmt: skip
QUESTIONS = [form.format(topic) for topic in TOPICS for form in ("What is {}?", "Why does {} matter in practice?")]


@dataclass
class Tally:
    """What came out. firsts: seconds to the first word. turned_away: 503 with Retry-After."""

    answers: int = 0
    tokens: int = 0
    turned_away: int = 0
    different: int = 0
    errors: list[str] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Outcome:
    """One request's end."""

    status: int
    text: str = ""
    tokens: int = 0
    first: float = 0.0
    complete: bool = False
    retry_after: bool = False


async def ask(port: int, question: str) -> Outcome:
    """One streamed answer over a connection of its own."""
    body = json.dumps(
        {
            "messages": [{"role": "user", "content": question}],
            "stream": True,
            "temperature": 0,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        headers = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        outcome = Outcome(int(headers.split()[1]), retry_after="\r\nretry-after:" in headers.lower())
        if outcome.status == 200:
            await _read_events(reader, outcome, began)
        return outcome
    finally:
        writer.close()


async def _read_events(reader: asyncio.StreamReader, outcome: Outcome, began: float) -> None:
    async for line in reader:
        if line == b"data: [DONE]\n":
            outcome.complete = True
        elif line.startswith(b"data: {"):
            frame = json.loads(line[6:])
            for choice in frame.get("choices", []):
                text = choice["delta"].get("content") or ""
                if text and not outcome.text:
                    outcome.first = time.perf_counter() - began
                outcome.text += text
            outcome.tokens = (frame.get("usage") or {}).get("completion_tokens", outcome.tokens)


async def client(number: int, port: int, until: float, expected: dict[str, str], tally: Tally) -> None:
    """Ask one question after another until the time is over."""
    turn = number
    while time.perf_counter() < until:
        question = QUESTIONS[turn % len(QUESTIONS)]
        turn += 7
        try:
            outcome = await ask(port, question)
        except (OSError, asyncio.IncompleteReadError) as error:
            tally.errors.append(type(error).__name__)
            continue
        if outcome.status == 503 and outcome.retry_after:
            tally.turned_away += 1
            await asyncio.sleep(0.5)
        elif outcome.status != 200 or not outcome.complete:
            tally.errors.append(f"status {outcome.status}, complete {outcome.complete}")
        else:
            tally.answers += 1
            tally.tokens += outcome.tokens
            tally.firsts.append(outcome.first)
            tally.different += outcome.text != expected.setdefault(question, outcome.text)


async def measure(port: int, clients: int, seconds: float, expected: dict[str, str]) -> Tally:
    """Let so many clients ask for so long; unfinished answers are waited for."""
    tally = Tally()
    began = time.perf_counter()
    await asyncio.gather(*(client(n, port, began + seconds, expected, tally) for n in range(clients)))
    tally.seconds = time.perf_counter() - began
    return tally


async def watch(process: psutil.Process, sizes: list[float]) -> None:
    """Note the server's memory, in MB, each second."""
    while True:
        sizes.append(process.memory_info().rss / 1e6)
        await asyncio.sleep(1)


async def run(port: int, pid: int, clients: int, seconds: float) -> bool:
    """All phases and the report. True when every answer was whole and as expected."""
    expected: dict[str, str] = {}
    for question in QUESTIONS:
        expected[question] = (await ask(port, question)).text
    one = await measure(port, 1, max(seconds / 8, 3), expected)
    await measure(port, clients, min(seconds / 4, 10), expected)  # memory has its final size after this
    sizes: list[float] = []
    watcher = asyncio.create_task(watch(psutil.Process(pid), sizes))
    many = await measure(port, clients, seconds, expected)
    watcher.cancel()
    rush = await measure(port, 4 * clients, min(seconds / 4, 5), expected)
    report(one, many, rush, clients, sizes)
    tallies = (one, many, rush)
    return not any(tally.errors or tally.different for tally in tallies) and not one.turned_away + many.turned_away


def report(one: Tally, many: Tally, rush: Tally, clients: int, sizes: list[float]) -> None:
    """Print the table."""
    quarter = max(len(sizes) // 4, 1)
    growth = statistics.median(sizes[-quarter:]) - statistics.median(sizes[:quarter])
    pace = many.tokens / many.seconds / (one.tokens / one.seconds)
    print(f"| | 1 client | {clients} clients | {4 * clients} clients |\n|---|---|---|---|")
    row("seconds", *(f"{tally.seconds:.0f}" for tally in (one, many, rush)))
    row("whole answers", *(f"{tally.answers:,}" for tally in (one, many, rush)))
    row("tokens a second", *(f"{tally.tokens / tally.seconds:,.0f}" for tally in (one, many, rush)))
    row("first word, half of them within", *(f"{percentile(tally, 50):.0f} ms" for tally in (one, many, rush)))
    row("first word, 99 of 100 within", *(f"{percentile(tally, 99):.0f} ms" for tally in (one, many, rush)))
    row("turned away with 503 and Retry-After", *(f"{tally.turned_away:,}" for tally in (one, many, rush)))
    row("answers unlike the single client's", *(str(tally.different) for tally in (one, many, rush)))
    row("other errors", *(str(len(tally.errors)) for tally in (one, many, rush)))
    print(f"\nThroughput: {pace:.1f} times one client's. Memory: {sizes[-1]:.0f} MB, {growth:+.1f} MB over the run.")
    for error in sorted(set(one.errors + many.errors + rush.errors)):
        print(f"error: {error}", file=sys.stderr)


def row(name: str, *cells: str) -> None:
    """One line of the table."""
    print(f"| {name} | {' | '.join(cells)} |")


def percentile(tally: Tally, share: int) -> float:
    """Milliseconds to the first word that `share` of 100 answers kept."""
    firsts = sorted(tally.firsts) or [0.0]
    return 1000 * firsts[min(len(firsts) - 1, len(firsts) * share // 100)]


def main() -> None:
    """Start a server, run the load, stop the server."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/export")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--threads", help="of the model")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "stages.serve", "--model", arguments.model, "--port", "0"]
    command += ["--threads", arguments.threads] if arguments.threads else []
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline().split(" (")[0].rpartition(":")[2])
        good = asyncio.run(run(port, server.pid, arguments.clients, arguments.seconds))
    finally:
        server.terminate()
        server.wait(30)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
