// Turns as elements. All text of people and models goes in through textContent, so none of it can become HTML.

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function button(label, action, properties = {}) {
  const made = element("button", { type: "button", textContent: label, ...properties });
  made.dataset.action = action;
  return made;
}

/**
 * The element of one turn. Its buttons carry data-action: edit, copy-question, copy, retry, good, bad, fix, continue.
 * kind: "qa" or "text". last: it is the conversation's last turn.
 */
export function turnElement(turn, kind, last) {
  const item = element("li", { className: kind === "text" ? "turn document" : "turn" });
  item.append(kind === "text" ? document_(turn, last) : question(turn), kind === "text" ? "" : answer(turn, last));
  return item;
}

function question(turn) {
  return element(
    "div",
    { className: "question" },
    element("h2", { className: "unseen", textContent: "You asked" }),
    element("div", { className: "said", textContent: turn.question }),
    element(
      "div",
      { className: "actions" },
      button("Edit", "edit", { ariaLabel: "Edit the question" }),
      button("Copy", "copy-question", { ariaLabel: "Copy the question" }),
    ),
  );
}

function answer(turn, last) {
  const made = element(
    "div",
    { className: "answer" },
    element("h2", { className: "unseen", textContent: "Answer" }),
    element("div", { className: "said", textContent: turn.answer }),
  );
  finishAnswer(made, turn, "qa", last);
  return made;
}

function document_(turn, last) {
  const made = element(
    "div",
    { className: "answer" },
    element("h2", { className: "unseen", textContent: "Text" }),
    element(
      "div",
      { className: "said" },
      element("span", { className: "given", textContent: turn.question }),
      element("span", { className: "made", textContent: turn.answer }),
    ),
  );
  finishAnswer(made, turn, "text", last);
  return made;
}

/** Show more of an answer that is on its way. */
export function showText(item, text) {
  (item.querySelector(".made") ?? item.querySelector(".answer .said")).textContent = text;
}

export function setBusy(item, busy) {
  item.querySelector(".answer").setAttribute("aria-busy", String(busy));
}

/** Notes and buttons below an answer, as its turn says. */
export function finishAnswer(made, turn, kind, last) {
  made.querySelector(".note")?.remove();
  made.querySelector(".actions")?.remove();
  if (turn.note) made.append(element("p", { className: "note fine", textContent: turn.note }));
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
  made.append(actions);
}

/** A field to change a text in, in place of what is hidden meanwhile. done(text) gets null when it was given up. */
export function openEditor(place, text, label, confirm, done) {
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
  place.append(editor);
  field.focus();
  field.setSelectionRange(text.length, text.length);
}

/** What is to be said below an answer that came to its end. */
export function noteOf(end, turn) {
  const notes = [];
  if (!turn.answer.trim()) notes.push("The model had nothing to say.");
  if (end.finish === "length") notes.push("Ended at the longest length.");
  if (end.cut) notes.push(`The beginning of the question (${end.cut} tokens) did not fit and was left out.`);
  return notes.join(" ");
}
