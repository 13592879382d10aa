// What this browser stores: conversations, settings, the theme; and the server's key while the tab is open.

const CONVERSATIONS = "lockstep.conversations";
const SETTINGS = "lockstep.settings";
const THEME = "lockstep.theme";
const KEY = "lockstep.key";

function read(name, fallback) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? fallback;
  } catch {
    return fallback; // storage is forbidden, or was written by something else
  }
}

function write(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

const isTurn = (turn) => typeof turn?.question === "string" && typeof turn?.answer === "string";
const isConversation = (it) => typeof it?.id === "string" && Array.isArray(it.turns) && it.turns.every(isTurn);

/** All stored conversations, the newest first: {id, turns: [{question, answer, verdict?, note?, fixed?}]}. */
export function readConversations() {
  const stored = read(CONVERSATIONS, []);
  return Array.isArray(stored) ? stored.filter(isConversation) : [];
}

/**
 * Store a conversation (an empty one is deleted) beside those that other tabs store.
 * Returns "kept", "shortened" when older ones had to go, or "lost" when nothing can be kept.
 */
export function keepConversation(conversation) {
  const others = readConversations().filter((other) => other.id !== conversation.id);
  const all = conversation.turns.length ? [conversation, ...others] : others;
  if (write(CONVERSATIONS, all)) return "kept";
  while (all.length > 1) {
    all.pop();
    if (write(CONVERSATIONS, all)) return "shortened";
  }
  return "lost";
}

export function forgetConversation(id) {
  write(CONVERSATIONS, readConversations().filter((other) => other.id !== id));
}

export function newConversation() {
  return { id: `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`, turns: [] };
}

/** Settings the person has changed, by the API's names. */
export function readSettings() {
  const stored = read(SETTINGS, {});
  return Object.fromEntries(Object.entries(stored ?? {}).filter(([, value]) => Number.isFinite(value)));
}

export const keepSettings = (settings) => write(SETTINGS, settings);

export const readTheme = () => (["light", "dark"].includes(read(THEME)) ? read(THEME) : "auto");

export const keepTheme = (theme) => write(THEME, theme);

export function readKey() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

export function keepKey(key) {
  try {
    sessionStorage.setItem(KEY, key);
  } catch {
    // It then has to be typed again.
  }
}
