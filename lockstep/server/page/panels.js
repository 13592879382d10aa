// The side panels: conversations, settings, the model.

import { keepKey, keepSettings, keepTheme, readKey, readSettings, readTheme } from "./store.js";
import { element } from "./turns.js";

const byId = (id) => document.getElementById(id);
const darkSystem = matchMedia("(prefers-color-scheme: dark)");
const wide = matchMedia("(min-width: 60rem)");

/** Apply the colours that the person chose, or else the system's. */
export function applyTheme() {
  const theme = readTheme();
  document.documentElement.dataset.theme = theme === "auto" ? (darkSystem.matches ? "dark" : "light") : theme;
  byId("theme").value = theme;
}

/** Make buttons open and close the panels; on wide screens the list of conversations is a column of the page. */
export function setUpPanels() {
  darkSystem.addEventListener("change", applyTheme);
  for (const name of ["model", "settings"]) byId(`open-${name}`).addEventListener("click", () => byId(name).showModal());
  byId("open-conversations").addEventListener("click", () => {
    const side = byId("conversations");
    if (side.open) side.close();
    else if (wide.matches) side.show();
    else side.showModal();
  });
  for (const button of document.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => byId(button.dataset.close).close());
  }
  for (const panel of document.querySelectorAll("dialog")) {
    panel.addEventListener("click", (event) => {
      if (event.target === panel && panel.matches(":modal")) panel.close(); // the backdrop was clicked
    });
  }
  const arrange = () => {
    byId("conversations").close();
    if (wide.matches) showBeside();
  };
  wide.addEventListener("change", arrange);
  arrange();
}

function showBeside() {
  const focused = document.activeElement;
  byId("conversations").show(); // moves the focus, which stays with the question
  if (focused instanceof HTMLElement) focused.focus();
}

/** Close the list of conversations where it covers the talk. */
export function uncoverTalk() {
  if (!wide.matches) byId("conversations").close();
}

/** The list of conversations; choose(id) and remove(id) are called for its buttons. */
export function listConversations(conversations, current, choose, remove) {
  byId("conversation-list").replaceChildren(
    ...conversations.map((conversation) => {
      const title = conversation.turns[0].question.trim().slice(0, 80);
      const open = element("button", { type: "button", className: "open", textContent: title });
      if (conversation.id === current) open.setAttribute("aria-current", "true");
      open.addEventListener("click", () => choose(conversation.id));
      const deleteButton = element("button", { type: "button", className: "icon", ariaLabel: `Delete ${title}` });
      deleteButton.append(byId("conversations").querySelector("svg").cloneNode(true));
      deleteButton.addEventListener("click", () => remove(conversation.id));
      return element("li", {}, open, deleteButton);
    }),
  );
}

/** Fill the fields of the settings and save what the person changes in them. onKey() is called for a new key. */
export function setUpSettings(onKey) {
  const form = byId("settings-form");
  const fields = [...form.querySelectorAll("input[name]")];
  const show = () => {
    for (const field of fields) field.value = readSettings()[field.name] ?? "";
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    if (event.target.id === "theme") {
      keepTheme(event.target.value);
      applyTheme();
    } else if (event.target.name) {
      saveField(event.target);
    }
  });
  byId("key").value = readKey();
  byId("key").addEventListener("change", () => {
    keepKey(byId("key").value.trim());
    onKey();
  });
  byId("defaults").addEventListener("click", () => {
    keepSettings({});
    show();
    for (const field of fields) markField(field, true);
  });
  show();
}

function saveField(field) {
  const settings = readSettings();
  const isValid = field.validity.valid;
  markField(field, isValid);
  if (!isValid) return; // the last valid value stays
  if (field.value === "") delete settings[field.name];
  else settings[field.name] = field.valueAsNumber;
  keepSettings(settings);
}

function markField(field, isValid) {
  field.setAttribute("aria-invalid", String(!isValid));
  const problem = byId("settings-problem");
  const label = document.querySelector(`label[for="${field.id}"]`).textContent;
  problem.hidden = isValid;
  problem.textContent = isValid ? "" : `${label}: ${field.validationMessage}`;
}

/** Show the model's name, kind, settings and card. */
export function showModel(model) {
  byId("model-name").textContent = model.name;
  byId("max_tokens").max = String(model.context);
  for (const [name, value] of Object.entries(model.settings)) byId(name).placeholder = String(value);
  for (const part of document.querySelectorAll("[data-kind]")) part.hidden = part.dataset.kind !== model.kind;
  const facts = element("dl");
  for (const [name, value] of [
    ["Name", model.name],
    ["Does", model.kind === "qa" ? "answers questions" : "continues texts"],
    ["Looks back", `${model.context} tokens`],
  ]) {
    facts.append(element("dt", { textContent: name }), element("dd", { textContent: value }));
  }
  byId("card").replaceChildren(facts, ...model.card.flatMap(sectionElements));
}

function sectionElements(section) {
  const heading = section.heading ? [element("h3", { textContent: section.heading })] : [];
  return [...heading, ...section.blocks.map(blockElement)];
}

/** A block of the model card, see card_markdown.py. Its texts are set through textContent, so none of them can become HTML. */
function blockElement(block) {
  if (block.code !== undefined) return element("pre", { textContent: block.code, tabIndex: 0 });
  if (block.quote !== undefined) return element("blockquote", {}, ...block.quote.map(blockElement));
  if (block.list !== undefined) return listElement(block);
  if (block.table !== undefined) return tableElement(block.table);
  return element("p", { textContent: block.text });
}

function listElement(block) {
  const items = block.list.map((blocks) => element("li", {}, ...blocks.map(blockElement)));
  return block.start === undefined ? element("ul", {}, ...items) : element("ol", { start: block.start }, ...items);
}

function tableElement([head, ...rows]) {
  const row = (cells, name) => element("tr", {}, ...cells.map((cell) => element(name, { textContent: cell })));
  const table = element("table", {}, element("thead", {}, row(head, "th")), element("tbody", {}, ...rows.map((r) => row(r, "td"))));
  return element("div", { className: "scroll" }, table);
}
