// The page: asks questions, streams answers, and keeps conversations in the browser.

import { announce, copy, toast } from "./notices.js";
import { applyTheme, listConversations, setUpPanels, setUpSettings, showModel, uncoverTalk } from "./panels.js";
import { ServerError, ask, describeModel, isThere, sendCorrection } from "./server.js";
import { forgetConversation, keepConversation, newConversation, readConversations, readKey, readSettings } from "./store.js";
import { finishAnswer, noteOf, openEditor, setBusy, showText, turnElement } from "./turns.js";

const byId = (id) => document.getElementById(id);
const [talk, turns, field] = [byId("talk"), byId("turns"), byId("question")];
const SAVE_EVERY = 1000; // milliseconds between two saved copies of an answer that is being generated
const RETRY_EVERY = 2000; // milliseconds between two attempts to reach a server that has gone

let model = { name: "", kind: "qa", context: 0, settings: {}, card: [] };
let conversation = newConversation();
let running = null; // AbortController of the answer that is being generated

const atEnd = () => talk.scrollHeight - talk.scrollTop - talk.clientHeight < 80;

function scrollToEnd() {
  talk.scrollTop = talk.scrollHeight;
}

// ---- conversations

function keep() {
  const outcome = keepConversation(conversation);
  if (outcome === "shortened") toast("The browser's memory was full: the oldest conversations went");
  if (outcome === "lost") toast("This browser keeps nothing, so a reload will forget the conversation");
  list();
}

function list() {
  listConversations(readConversations(), conversation.id, open, remove);
}

function open(id) {
  stop();
  conversation = readConversations().find((other) => other.id === id) ?? newConversation();
  show();
  uncoverTalk();
}

function remove(id) {
  if (id === conversation.id) stop();
  forgetConversation(id);
  if (id === conversation.id) {
    conversation = newConversation();
    show();
  }
  list();
  byId("new").focus();
}

function begin() {
  stop();
  conversation = newConversation();
  show();
  uncoverTalk();
  field.focus();
}

function show() {
  byId("welcome").hidden = conversation.turns.length > 0;
  const last = conversation.turns.length - 1;
  turns.replaceChildren(...conversation.turns.map((turn, index) => turnElement(turn, model.kind, index === last)));
  list();
  scrollToEnd();
}

// ---- asking

function messages(upTo) {
  const answered = conversation.turns.slice(0, upTo).filter((turn) => turn.answer);
  const count = readSettings().history_turns ?? model.settings.history_turns ?? 0;
  const shown = model.kind === "qa" && count > 0 ? answered.slice(-count) : [];
  const earlier = shown.flatMap((turn) => [
    { role: "user", content: turn.question },
    { role: "assistant", content: turn.fixed ?? turn.answer },
  ]);
  return [...earlier, { role: "user", content: conversation.turns[upTo].question }];
}

async function askNow(question) {
  if (running) return;
  const turn = { question, answer: "" };
  conversation.turns.push(turn);
  show();
  await answer(turn);
}

async function answer(turn) {
  const controller = (running = new AbortController());
  const ownConversation = conversation; // another may be open by the time the answer ends
  const item = turns.lastElementChild;
  let savedAt = performance.now();
  turn.answer = "";
  turn.note = "";
  delete turn.verdict;
  delete turn.fixed;
  showText(item, "");
  setBusy(item, true);
  showRunning(true);
  announce("The model is answering");
  try {
    const end = await ask(messages(ownConversation.turns.length - 1), readSettings(), (chunk) => {
      const follow = atEnd();
      turn.answer += chunk;
      showText(item, turn.answer);
      if (follow) scrollToEnd();
      if (performance.now() - savedAt > SAVE_EVERY && conversation === ownConversation) {
        savedAt = performance.now();
        keep();
      }
    }, controller.signal);
    turn.note = noteOf(end, turn);
    announce(turn.answer || turn.note);
  } catch (error) {
    turn.note = problemOf(error);
    announce(turn.note);
  }
  if (running === controller) {
    running = null;
    showRunning(false);
  }
  setBusy(item, false);
  finishAnswer(item.querySelector(".answer"), turn, model.kind, true);
  if (conversation === ownConversation) keep();
  else keepConversation(ownConversation);
  if (conversation === ownConversation) scrollToEnd();
}

function problemOf(error) {
  if (error.name === "AbortError") return "Stopped.";
  if (error instanceof ServerError && error.status === 0) waitForServer();
  if (error instanceof ServerError && error.status === 401) askForKey();
  return error instanceof ServerError ? error.message : "Something went wrong on this page.";
}

function stop() {
  running?.abort();
  running = null;
  showRunning(false);
}

function showRunning(isRunning) {
  const focused = document.activeElement;
  const hadFocus = [byId("stop"), byId("send")].includes(focused) || (isRunning && turns.contains(focused));
  byId("stop").hidden = !isRunning;
  byId("send").hidden = isRunning;
  if (hadFocus) byId(isRunning ? "stop" : "send").focus();
}

// ---- buttons of a turn

const ACTIONS = {
  "copy-question": (turn) => copy(turn.question),
  copy: (turn) => copy(model.kind === "text" ? turn.question + turn.answer : (turn.fixed ?? turn.answer)),
  retry: (turn) => running || answer(turn),
  continue: (turn) => askNow(turn.question + turn.answer),
  good: (turn, item) => judge(turn, item, "good", turn.answer),
  bad: (turn, item) => judge(turn, item, "bad", turn.answer),
  fix: (turn, item) => fix(turn, item),
  edit: (turn, item) => edit(turn, item),
};

function edit(turn, item) {
  stop();
  const index = conversation.turns.indexOf(turn);
  const container = item.querySelector(".question") ?? item.querySelector(".answer");
  container.classList.add("editing");
  const hidden = [...container.children];
  for (const child of hidden) child.hidden = true;
  openEditor(container, turn.question, "The question", "Ask again", (text) => {
    container.classList.remove("editing");
    for (const child of hidden) child.hidden = false;
    if (text === null) {
      container.querySelector('[data-action="edit"]')?.focus();
      return;
    }
    conversation.turns.length = index;
    askNow(text);
    field.focus();
  });
}

function fix(turn, item) {
  const container = item.querySelector(".answer");
  if (container.querySelector(".editor")) return;
  openEditor(container, turn.fixed ?? turn.answer, "The right answer", "Keep", (text) => {
    if (text !== null) judge(turn, item, "fixed", text);
    else container.querySelector('[data-action="fix"]')?.focus();
  });
}

async function judge(turn, item, verdict, text) {
  try {
    await sendCorrection(turn.question, text, verdict);
  } catch (error) {
    toast(problemOf(error));
    return;
  }
  turn.verdict = verdict;
  delete turn.fixed;
  if (verdict === "fixed") {
    turn.fixed = text;
    turn.note = `The right answer: ${text}`;
  }
  finishAnswer(item.querySelector(".answer"), turn, model.kind, turn === conversation.turns.at(-1));
  item.querySelector(`[data-action="${verdict === "fixed" ? "fix" : verdict}"]`).focus();
  keep();
  toast("Kept for the next training");
}

// ---- the server

async function connect() {
  try {
    model = await describeModel();
  } catch (error) {
    problemOf(error);
    return;
  }
  byId("banner").hidden = true;
  byId("key-field").hidden = !readKey();
  showModel(model);
  if (model.kind === "text") {
    field.placeholder = "Begin a text";
    byId("question-label").textContent = "The beginning of a text";
    byId("welcome-title").textContent = "Begin a text";
    byId("welcome-text").textContent = "The model goes on from what you write, in the manner of the texts it was trained on.";
  }
  if (!running) show();
}

function askForKey() {
  byId("key-field").hidden = false;
  byId("banner").textContent = "This server wants its key: give it in the settings.";
  byId("banner").hidden = false;
  if (!byId("settings").open) byId("settings").showModal();
  byId("key").focus();
}

let waiting = false;

async function waitForServer() {
  if (waiting) return;
  waiting = true;
  byId("banner").textContent = "The server can't be reached. This page looks for it again and again.";
  byId("banner").hidden = false;
  do await new Promise((resolve) => setTimeout(resolve, RETRY_EVERY));
  while (!(await isThere()));
  waiting = false;
  await connect();
  announce("The server is back");
}

// ---- wiring

function submit() {
  const question = model.kind === "text" ? field.value : field.value.trim();
  if (!question.trim() || running) return;
  field.value = "";
  askNow(question);
}

function wire() {
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  byId("stop").addEventListener("click", stop);
  byId("new").addEventListener("click", begin);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && running && !document.querySelector("dialog:modal")) stop();
  });
  turns.addEventListener("click", (event) => {
    const button = event.target.closest("[data-action]");
    const item = button?.closest("li");
    const index = item ? [...turns.children].indexOf(item) : -1;
    if (index >= 0) ACTIONS[button.dataset.action]?.(conversation.turns[index], item);
  });
  addEventListener("storage", list); // another tab saved something
  addEventListener("pagehide", () => running && keepConversation(conversation));
}

applyTheme();
wire();
setUpPanels();
setUpSettings(connect);
conversation = readConversations()[0] ?? conversation;
show();
field.focus();
await connect();
