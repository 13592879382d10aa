// Turns as elements. All text of people and models is set through textContent, so none of it can become HTML.

export function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

function button(label, action, properties = {}) {
  const node = element("button", { type: "button", textContent: label, ...properties });
  node.dataset.action = action;
  return node;
}

/**
 * The element of one turn. Its buttons carry data-action: edit, copy-question, copy, retry, good, bad, fix, continue.
 * kind: "qa" or "text". last: it is the conversation's last turn.
 */
export function turnElement(turn, kind, last) {
  const item = element("li", { className: kind === "text" ? "turn document" : "turn" });
  item.append(kind === "text" ? textBlock(turn, last) : question(turn), kind === "text" ? "" : answer(turn, last));
  return item;
}

function question(turn) {
  return element(
    "div",
    { className: "question" },
    element("h2", { className: "unseen", textContent: "You asked" }),
    element("div", { className: "text", textContent: turn.question }),
    element(
      "div",
      { className: "actions" },
      button("Edit", "edit", { ariaLabel: "Edit the question" }),
      button("Copy", "copy-question", { ariaLabel: "Copy the question" }),
    ),
  );
}

function answer(turn, last) {
  const node = element(
    "div",
    { className: "answer" },
    element("h2", { className: "unseen", textContent: "Answer" }),
    element("div", { className: "text", textContent: turn.answer }),
  );
  finishAnswer(node, turn, "qa", last);
  return node;
}

function textBlock(turn, last) {
  const node = element(
    "div",
    { className: "answer" },
    element("h2", { className: "unseen", textContent: "Text" }),
    element(
      "div",
      { className: "text" },
      element("span", { className: "beginning", textContent: turn.question }),
      element("span", { className: "continuation", textContent: turn.answer }),
    ),
  );
  finishAnswer(node, turn, "text", last);
  return node;
}

/** Show the text so far of an answer that is being generated. */
export function showText(item, text) {
  (item.querySelector(".continuation") ?? item.querySelector(".answer .text")).textContent = text;
}

export function setBusy(item, busy) {
  item.querySelector(".answer").setAttribute("aria-busy", String(busy));
}

/** Put the note and the buttons of a turn below its answer. */
export function finishAnswer(node, turn, kind, last) {
  node.querySelector(".note")?.remove();
  node.querySelector(".actions")?.remove();
  if (turn.note) node.append(element("p", { className: "note fine", textContent: turn.note }));
  const actions = element("div", { className: "actions" });
  if (turn.answer) actions.append(button("Copy", "copy", { ariaLabel: kind === "text" ? "Copy the text" : "Copy the answer" }));
  if (last) actions.append(button("Retry", "retry"));
  if (last && kind === "text") actions.append(button("Edit", "edit", { ariaLabel: "Edit the beginning" }));
  if (last && kind === "text" && turn.answer) actions.append(button("Continue", "continue"));
  if (turn.answer && kind === "qa") {
    for (const [verdict, label, meaning] of [
      ["good", "Good", "Good answer"],
      ["bad", "Bad", "Bad answer"],
    ]) {
      actions.append(button(label, verdict, { ariaLabel: meaning, ariaPressed: String(turn.verdict === verdict) }));
    }
    actions.append(button("Fix", "fix", { ariaLabel: "Fix the answer", ariaPressed: String(turn.verdict === "fixed") }));
  }
  node.append(actions);
}

/** Open a field to edit a text in. done(text) is called at the end, with null when the person cancelled. */
export function openEditor(container, text, label, confirm, done) {
  const field = element("textarea", { value: text, ariaLabel: label, rows: 3 });
  const buttons = element("div", {}, button("Cancel", "cancel"), button(confirm, "confirm", { className: "main" }));
  const editor = element("div", { className: "editor" }, field, buttons);
  const close = (value) => {
    editor.remove();
    done(value);
  };
  editor.addEventListener("click", (event) => {
    const action = event.target.dataset.action;
    event.stopPropagation();
    if (action === "cancel") close(null);
    if (action === "confirm" && field.value.trim()) close(field.value.trim());
  });
  editor.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      close(null);
    }
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && field.value.trim()) close(field.value.trim());
  });
  container.append(editor);
  field.focus();
  field.setSelectionRange(text.length, text.length);
}

/** The note below a complete answer; may be empty. end: as server.js's ask returns it. */
export function noteOf(end, turn) {
  const notes = [];
  if (!turn.answer.trim()) notes.push("The model had nothing to say.");
  if (end.finish === "length") notes.push("Ended at the longest length.");
  if (end.cut) notes.push(`The beginning of the question (${end.cut} tokens) did not fit and was left out.`);
  return notes.join(" ");
}
