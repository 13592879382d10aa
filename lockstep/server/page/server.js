// Talking to the server that this page came from.

import { readKey } from "./store.js";

/** An error response of the server. status 0: it can't be reached. */
export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function request(path, body, signal) {
  const headers = {};
  if (readKey()) headers.Authorization = `Bearer ${readKey()}`;
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, "The server can't be reached.");
  }
  if (response.ok) return response;
  const reply = await response.json().catch(() => null);
  throw new ServerError(response.status, reply?.error?.message ?? `The server said ${response.status}.`);
}

export const describeModel = async () => (await request("api/model")).json();

export const sendCorrection = (question, answer, verdict) => request("api/corrections", { question, answer, verdict });

export async function isThere() {
  try {
    await request("healthz");
    return true;
  } catch {
    return false;
  }
}

/**
 * Ask for an answer; onChunk(text) is called for each part of it.
 * Returns {finish, cut}: how it ended ("stop" or "length") and how many tokens the question lost at its beginning.
 * Throws ServerError, or the AbortError of `signal`.
 */
export async function ask(messages, settings, onChunk, signal) {
  const response = await request("v1/chat/completions", { messages, stream: true, ...settings }, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const end = { finish: null, cut: 0 };
  let rest = "";
  for (;;) {
    let read;
    try {
      read = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServerError(0, "The connection broke before the answer was complete.");
    }
    if (read.done) break;
    const events = (rest + read.value).split("\n\n");
    rest = events.pop();
    for (const event of events) readEvent(event, onChunk, end);
  }
  if (!end.finish) throw new ServerError(0, "The connection broke before the answer was complete.");
  return end;
}

function readEvent(event, onChunk, end) {
  const data = event.replace(/^data: /, "");
  if (data === "[DONE]") return;
  const frame = JSON.parse(data);
  if (frame.error) throw new ServerError(503, frame.error.message);
  const [choice] = frame.choices;
  if (choice?.delta?.content) onChunk(choice.delta.content);
  if (choice?.finish_reason) end.finish = choice.finish_reason;
  end.cut = frame.lockstep?.prompt_tokens_cut ?? end.cut;
}
