// Guess before the run. `asking.predict` and `asking.reveal` in a notebook leave a question and an answer as Markdown.
// Here the question can be answered. Until there is a guess, or until the reader asks for it, the page holds back what
// tells the answer: the outputs and the text from the question to its answer, cells whose code states a claim, and after
// the answer the next cells and the paragraph that reads them. Without JavaScript, and in print, all of it is there.
(() => {
  const BETWEEN = Node.DOCUMENT_POSITION_FOLLOWING;
  const METRICS = 110; // the state in which MathJax measures, before it sets
  const AND = new Intl.ListFormat("en-GB");

  function node(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  /** A number as `asking.reveal` prints it: whole from 1,000 on, below with four digits that count; a true minus. */
  function number(x) {
    const text = Math.abs(x) < 1000 ? String(Number(x.toPrecision(4))) : Math.round(x).toLocaleString("en");
    return text.replace("-", "−");
  }

  /** What the reader guessed. A browser may forbid to keep it; it then lasts as long as the page. */
  function memory(name) {
    const key = `deepfm guess ${location.pathname} ${name}`;
    let here = null;
    return {
      read() {
        try { return localStorage.getItem(key) ?? here; } catch { return here; }
      },
      keep(value) {
        here = value;
        try {
          if (value === null) localStorage.removeItem(key);
          else localStorage.setItem(key, value);
        } catch { /* it lasts as long as the page */ }
      },
    };
  }

  /** The words of an item of a list, to be shown once more. */
  const copied = (item) => [...(item.querySelector("p") ?? item).cloneNode(true).childNodes];

  /** Whether a cell shows code, and whether this code may be read before the guess: a claim says what was found. */
  const code = (cell) => cell.querySelector(".cell_input");
  const tells = (cell) => /^\s*claim\(/m.test(code(cell)?.textContent ?? "");

  /** What follows a cell, to the end of so many paragraphs, but not beyond a heading or the next question. */
  function following(cell, paragraphs) {
    const found = [];
    for (let next = cell.nextElementSibling; next; next = next.nextElementSibling) {
      if (next.matches("section") || next.querySelector(".ask")) break;
      if (next.matches("p, .cell") && paragraphs === 0) break; // a formula or a list belongs to the paragraph before it
      if (next.matches("p")) paragraphs -= 1;
      found.push(next);
    }
    return found;
  }

  /** Measure formulas again that MathJax has set while they were hidden: it could not see the size of their text. */
  function remeasure() {
    const startup = window.MathJax?.startup;
    startup?.promise?.then(() => startup.document.rerender(METRICS));
  }

  function ask(question, answer) {
    const name = question.dataset.ask;
    const list = question.querySelector("ul") ?? [...question.querySelectorAll("p")].at(-1); // or "a number"
    const words = question.querySelector("p");
    const guess = memory(name);
    const said = node("div", { class: "ask-said", role: "status" });
    const right = Number(answer.dataset.answer);
    const of = answer.dataset.of ?? "this run";
    const begins = answer.dataset.begins?.split(" ").map((begin) => (begin === "-inf" ? -Infinity : Number(begin)));
    const sentences = [...answer.querySelectorAll("li")];
    const [own, last] = [question, answer].map((element) => element.closest(".cell"));
    const then = Number(answer.dataset.then ?? 1);
    const rest = then ? following(last, then) : [];
    const between = (element) => own.compareDocumentPosition(element) & BETWEEN
      && element.compareDocumentPosition(last) & BETWEEN && !element.contains(last);
    const cells = [...document.querySelectorAll(".cell")].filter(between);
    const text = [...own.parentElement.children].filter((part) => !part.matches(".cell") && between(part));
    const runs = cells.filter(code).map((cell) => (tells(cell) ? cell : cell.querySelector(".cell_output")))
      .filter((part) => part);
    const held = [...runs, ...cells.filter((cell) => !code(cell)), ...text, last, ...rest];
    question.id = `ask-${name}`;
    words.id = `${question.id}-words`;
    const notes = runs.map((part, i) => {
      const what = part.matches(".cell") ? ["the code", "its output"] : ["the output"];
      if (i === runs.length - 1 && (text.length || rest.length)) what.push("what the page says about it");
      const note = node("p", { class: "ask-note" }, node("a", { href: `#${question.id}` }, "Guess first"),
        `, then ${AND.format(what)} ${what.length > 1 ? "appear" : "appears"} here.`);
      part.before(note);
      return note;
    });

    // ------------------------------------------------------------------ controls
    const choices = begins ? [] : [...list.children].map((item, i) =>
      node("button", { type: "button", class: "ask-choice", onclick: () => take(String(i)) }, ...copied(item)));
    const field = node("input", { type: "number", step: "any", autocomplete: "off", id: `${question.id}-number`,
      "aria-labelledby": words.id, required: "" });
    const form = begins
      ? node("form", { onsubmit: (event) => { event.preventDefault(); take(field.value); } },
        field, node("span", {}, question.dataset.unit), node("button", { type: "submit" }, "Guess"))
      : node("div", { role: "group", "aria-labelledby": words.id }, ...choices);
    form.classList.add("ask-form");
    const show = node("button", { type: "button", class: "ask-skip", onclick: () => take("shown") },
      "Show without guessing");
    const again = node("button", { type: "button", class: "ask-skip", onclick: () => {
      take(null);
      (begins ? field : choices[0]).focus();
    } }, "Guess again");
    list.classList.add("ask-static");
    question.append(node("div", { class: "ask-app" }, form, said, node("p", {}, show, again)));
    question.classList.add("ask-on");

    function take(value) {
      guess.keep(value);
      render();
      if (value !== null) again.focus({ preventScroll: true }); // what was pressed is gone
    }

    /** The guess, if it is one of this question: the chapter may have changed since it was made. */
    function given() {
      const value = guess.read();
      if (value === null || value === "shown") return value;
      const known = value !== "" && (begins ? Number.isFinite(Number(value)) : choices[value]);
      return known ? Number(value) : null;
    }

    function render() {
      const value = given();
      const open = value !== null;
      for (const part of held) part.classList.toggle("ask-held", !open);
      for (const note of notes) note.hidden = open;
      for (const [i, button] of choices.entries()) {
        button.setAttribute("aria-pressed", value === i);
        button.disabled = open;
      }
      field.value = typeof value === "number" ? value : "";
      for (const control of form.querySelectorAll("input, [type=submit]")) control.disabled = open;
      [show.hidden, again.hidden] = [open, !open];
      for (const sentence of sentences) sentence.classList.remove("ask-mine");
      if (typeof value !== "number") {
        said.replaceChildren(...(open ? [node("p", {}, "What was held back below is shown.")] : []));
      } else if (begins) {
        said.replaceChildren(...aboutNumber(value));
      } else {
        said.replaceChildren(...aboutChoice(value));
      }
      if (open && held.some((part) => part.querySelector("mjx-container"))) remeasure();
      if (open) dispatchEvent(new Event("resize")); // what scrolls sideways is reached by keyboard, see book.js
    }

    function aboutChoice(value) {
      sentences[value].classList.add("ask-mine");
      const verdict = value === right ? [`✓ That is the answer of ${of}.`]
        : [`✗ The answer of ${of} is `, node("b", {}, ...copied(list.children[right])), "."];
      return [node("p", {}, ...verdict), node("p", {}, "You chose ", ...copied(sentences[value]))];
    }

    function aboutNumber(value) {
      const sentence = sentences[begins.findLastIndex((begin) => value >= begin)];
      const { unit: counted } = question.dataset;
      const unit = counted && counted !== "%" ? ` ${counted}` : counted;
      const off = value - right;
      const isRight = Math.abs(off) <= Number(answer.dataset.within) + 1e-12;
      const how = off === 0 ? "" : `, ${number(Math.abs(off))} ${off > 0 ? "less" : "more"} than your guess`;
      sentence.classList.add("ask-mine");
      return [
        node("p", {}, `${isRight ? "✓" : "✗"} You guessed ${number(value)}${unit}. The answer of ${of} is `,
          node("b", {}, `${number(right)}${unit}`), `${how}.`, isRight && off ? " That is close enough." : ""),
        node("p", {}, ...copied(sentence)),
      ];
    }

    // A link to something that is held back asks for it.
    function follow() {
      const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
      if (!target || !held.some((part) => part.contains(target)) || given() !== null) return;
      guess.keep("shown");
      render();
      target.scrollIntoView();
    }
    render();
    follow();
    addEventListener("hashchange", follow);
  }

  addEventListener("DOMContentLoaded", () => {
    const answers = [...document.querySelectorAll(".ask-answer")];
    for (const question of document.querySelectorAll(".ask")) {
      const answer = answers.find(({ dataset }) => dataset.ask === question.dataset.ask);
      if (answer) ask(question, answer);
    }
  });
})();
