"use strict";
/* The page "The model, live": controls, the waterfall of terms and the list of ten. All numbers come from deepfm.js. */

(() => {
  const place = document.getElementById("live");
  if (!place || !window.DEEPFM_MODEL) return; // the page then keeps its figure

  const model = DeepFM.load(window.DEEPFM_MODEL);
  const { fields, films, people } = model;
  const traits = fields.filter((f) => f.side === "user" && f.name !== "uid");
  const several = (f) => Array.isArray(people[f.name][0]); // whether a person can have several values
  const PARTS = {
    first: { name: "First order", one: "the first order", equation: "eq-first-order" },
    pairs: { name: "Second order", one: "the second order", equation: "eq-pairs" },
    deep: { name: "Deep part", one: "the deep part", equation: "eq-deep" },
  };
  const MOST_LIKES = 5;
  const wide = window.matchMedia("(min-width: 60rem)").matches;

  // ---------------------------------------------------------------- what is chosen, and what follows from it

  const busiest = films.rows.indexOf(Math.max(...films.rows));
  const start = () => ({ person: 0, values: valuesOf(0), likes: [], film: busiest, off: {}, folded: { pairs: !wide } });
  const valuesOf = (person) => Object.fromEntries(traits.map((f) => [f.name, people[f.name][person]]));
  let state = start();
  let shown = {}; // the uid entry and the terms on the page
  let last = null; // the terms before the last change, and what it was

  const filmEntries = films.title.map(() => null);
  function entriesOf(uid, film) {
    filmEntries[film] ??= fields.map((f, i) => f.side === "film"
      && DeepFM.lookUp(model, i, f.name === "mid" ? film + 1 : films[f.name][film]));
    return fields.map((f, i) => {
      if (f.name === "uid") return uid;
      return f.side === "film" ? filmEntries[film][i] : DeepFM.lookUp(model, i, state.values[f.name]);
    });
  }

  function uidEntry() {
    const i = fields.findIndex((f) => f.name === "uid");
    if (state.person >= 0) return DeepFM.lookUp(model, i, people.row[state.person]);
    return DeepFM.newUser(model, entriesOf, state.likes);
  }

  function topFilms(uid, n = 10) {
    const scored = films.title.map((_, film) => film).filter((film) => films.rows[film] > 0)
      .map((film) => ({ film, score: DeepFM.score(DeepFM.terms(model, entriesOf(uid, film)), state.off) }));
    return scored.sort((a, b) => b.score - a.score || a.film - b.film).slice(0, n);
  }

  function trueRating(film) {
    const ratings = state.person >= 0 && people.ratings && people.ratings[state.person];
    if (!ratings) return null;
    const stars = ratings.test[film] ?? ratings.train[film];
    return stars && { stars, heldOut: film in ratings.test };
  }

  // ------------------------------------------------------------------------------------------ words and numbers

  const signed = (x, digits = 3) => (x < 0 ? "−" : "+") + Math.abs(x).toFixed(digits);
  const stars = (x, digits = 2) => x.toFixed(digits).replace("-", "−");
  const who = () => (state.person >= 0 ? `user ${people.uid[state.person]}` : "someone new");
  const label = (f, rows) => [rows].flat().map((row) => (row ? f.values[row - 1] : "not given")).join(", ") || "none";
  const person = (i) => [`user ${people.uid[i]}`, ...traits.map((f) => label(f, people[f.name][i]))].join(", ");
  const valueOf = (f) => {
    if (f.name === "uid" && state.person < 0) return state.likes.length ? "mixture of users" : "average user";
    if (f.name === "uid") return who();
    if (f.name === "mid") return films.title[state.film];
    return label(f, f.side === "user" ? state.values[f.name] : films[f.name][state.film]);
  };

  // -------------------------------------------------------------------------------------------------- elements

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true || value === false) node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  const equations = {};
  for (const link of document.querySelectorAll(".live-equations a[href*='#']")) {
    equations[link.hash.replace("#equation-", "")] = link;
  }
  function linked(text, equation) {
    const link = equations[equation];
    if (!link) return text;
    return make("a", { href: link.href, title: `equation ${link.textContent.trim()}` }, text);
  }

  // A press of the mouse or a finger first takes the focus away from a text field. What is typed there then waits for
  // the click, under which nothing may move.
  let pressing = false;
  addEventListener("mousedown", () => { pressing = true; setTimeout(() => { pressing = false; }); }, true);

  /** A labelled text field that suggests titles. `choose` gets the position of the film that was typed, on Enter or when
      the field is left; Escape, and a change elsewhere, return to `chosen()`. */
  function titleSearch(id, text, chosen, choose) {
    const note = make("span", { class: "live-note", id: `${id}-note`, role: "status" });
    const found = (wanted) => {
      const lower = wanted.trim().toLowerCase();
      const exact = films.title.findIndex((title) => title.toLowerCase() === lower);
      if (exact >= 0 || !lower) return exact;
      const fit = films.title.map((title) => { // whole words before parts of words, then what was rated most
        const at = title.toLowerCase().indexOf(lower);
        return at < 0 ? 0 : /\w/.test(title[at + lower.length] ?? "") ? 1 : 2;
      });
      const better = (a, b) => fit[a] - fit[b] || films.rows[a] - films.rows[b];
      const best = fit.map((_, i) => i).reduce((a, b) => (better(b, a) > 0 ? b : a));
      return fit[best] ? best : -1;
    };
    let typed = false; // and not taken yet
    const say = (words) => { note.textContent = words; };
    const show = () => { [typed, input.value] = [false, chosen()]; say(""); };
    const take = () => {
      if (!typed) return;
      typed = false;
      const film = found(input.value);
      if (film >= 0) choose(film);
      else if (input.value.trim()) say(`No title contains “${input.value}”.`);
      else show();
    };
    const left = () => document.activeElement === input || take(); // it is not left for another window
    const input = make("input", {
      id, list: "live-titles", type: "text", spellcheck: "false", enterkeyhint: "go",
      "aria-describedby": note.id,
      onfocus: () => input.select(),
      oninput: () => {
        typed = true;
        say("");
        if (films.title.includes(input.value)) take(); // a suggestion was picked
      },
      onkeydown: ({ key }) => { if (key === "Enter") take(); else if (key === "Escape") show(); },
      onblur: () => { if (pressing) addEventListener("click", left, { once: true }); else left(); },
    });
    return { input, say, show, box: make("div", { class: "live-control" }, make("label", { for: id }, text), input, note) };
  }

  const titles = make("datalist", { id: "live-titles" }, ...films.title.map((t) => make("option", { value: t })));

  const userSelect = make("select", {
    id: "live-user",
    onchange: () => change(() => {
      state.person = Number(userSelect.value);
      const values = state.person >= 0 ? valuesOf(state.person) : Object.fromEntries(traits.map((f) => [f.name, 0]));
      Object.assign(state, { values, likes: [] });
    }, "another user"),
  }, make("option", { value: -1 }, "someone new: describe below"),
  ...people.uid.map((_, i) => make("option", { value: i }, person(i))));

  const traitSelects = traits.map((f) => make("select", {
    id: `live-${f.name}`,
    multiple: several(f),
    onchange: (event) => {
      const rows = [...event.target.selectedOptions].map((option) => Number(option.value));
      const to = several(f) ? rows.filter((row) => row || rows.length === 1) : rows[0];
      change(() => { state.values[f.name] = to; }, `${f.name}: ${label(f, state.values[f.name])} → ${label(f, to)}`);
    },
  }, make("option", { value: 0 }, "not given (the average)"),
  ...f.values.map((text, i) => make("option", { value: i + 1 }, text))));

  const liked = titleSearch("live-like", `liked films, up to ${MOST_LIKES}`, () => "", (i) => {
    if (state.likes.includes(i)) liked.say(`${films.title[i]} is among them.`);
    else if (state.likes.length >= MOST_LIKES) liked.say(`${MOST_LIKES} films: remove one to add another.`);
    else change(() => { state.likes = [...state.likes, i]; }, `likes ${films.title[i]}`);
  });
  const chips = make("ul", { class: "live-chips", "aria-label": "liked films" });
  liked.box.append(chips);

  const film = titleSearch("live-film", "film: type a part of its title", () => films.title[state.film], choose);
  function choose(i) {
    if (i === state.film) render();
    else change(() => { state.film = i; }, `film: ${films.title[i]}`);
  }

  const control = (text, select) =>
    make("div", { class: "live-control" }, make("label", { for: select.id }, text), select);

  const form = make("form", { class: "live-form", autocomplete: "off", onsubmit: (event) => event.preventDefault() },
    make("div", { class: "live-wide" }, control("user", userSelect)),
    ...traits.map((f, i) => control(f.name, traitSelects[i])),
    make("div", { class: "live-wide", id: "live-likes" }, liked.box),
    make("div", { class: "live-wide" }, film.box),
    titles);

  const total = make("strong");
  const subject = make("span");
  const story = make("p", { class: "live-story" });
  const again = make("button", {
    type: "button", class: "live-again", onclick: () => { state = start(); [last, shown] = [null, {}]; render(); },
  }, "Start again");
  const headline = make("div", { class: "live-headline" },
    make("div", { role: "status" }, make("p", { class: "live-total" }, total, " ", subject), story), again);

  // ----------------------------------------------------------------------------------------------- the waterfall

  const axis = make("td", { class: "live-axis", "aria-hidden": "true" });
  const lines = []; // one for each row of the table, in order

  function line(kind, heading, more = {}) {
    const item = {
      kind, ...more, bar: make("i"), number: make("span"), moved: make("span", { class: "live-moved" }),
    };
    item.value = make("span", { class: "live-value" });
    item.track = make("td", { class: "live-track", "aria-hidden": "true" }, item.bar);
    item.row = make("tr", { class: `live-${kind}` },
      make("th", { scope: "row" }, heading, " ", item.value), item.track,
      make("td", { class: "live-number" }, item.number, " ", item.moved));
    lines.push(item);
    return item;
  }

  function partLines(part, names) {
    const box = make("input", { type: "checkbox", id: `live-on-${part}`, checked: true, autocomplete: "off",
      onchange: () => { state.off = { ...state.off, [part]: !box.checked }; render(); } });
    const heading = make("span", { class: "live-part-name" }, box,
      make("label", { for: box.id }, PARTS[part].name));
    const head = line("part", heading, { part, box });
    if (!names.length) return [make("tbody", {}, head.row)];
    const rows = names.map((name, index) => line("term", name, { part, index }).row);
    const body = make("tbody", { id: `live-terms-${part}` }, ...rows);
    head.body = body;
    head.button = make("button", { type: "button", "aria-controls": body.id,
      onclick: () => { state.folded = { ...state.folded, [part]: !body.hidden }; render(); } });
    head.count = names.length;
    heading.append(head.button);
    return [make("tbody", {}, head.row), body];
  }

  const names = fields.map((f) => f.name);
  const pairNames = names.flatMap((a, i) => names.slice(i + 1).map((b) => `${a} × ${b}`));
  const table = make("table", { class: "live-terms" },
    make("caption", {}, "How the score comes about, in stars"),
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "term"), axis,
      make("th", { scope: "col" }, "stars ", make("span", { class: "live-moved" }, "moved by")))),
    make("tbody", {}, line("mean", "constant w₀").row),
    ...partLines("first", names), ...partLines("pairs", pairNames), ...partLines("deep", []),
    make("tbody", {}, line("sum", "prediction").row, line("true", "true rating").row));

  const ten = make("ol", { class: people.ratings ? "live-ten live-with-ratings" : "live-ten" });
  const facts = make("p", { class: "live-facts" });

  // --------------------------------------------------------------------------------------------------- rendering

  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const amount = (t, { kind, part, index }) => {
    if (kind === "mean") return t.w0;
    if (part === "deep") return t.deep;
    return kind === "term" ? t[part][index] : sum(t[part]);
  };

  function change(edit, what) {
    edit();
    last = { before: shown.terms, what };
    shown.uid = null;
    render();
  }

  function render() {
    const uid = shown.uid ?? uidEntry();
    const t = DeepFM.terms(model, entriesOf(uid, state.film));
    shown = { uid, terms: t };
    const score = DeepFM.score(t, state.off);
    renderForm();
    renderTable(t, score);
    renderHeadline(t, score);
    renderTen(topFilms(uid));
  }

  function renderForm() {
    userSelect.value = state.person;
    traits.forEach((f, i) => {
      for (const option of traitSelects[i].options) {
        option.selected = [state.values[f.name]].flat().includes(Number(option.value));
      }
    });
    film.show();
    liked.show();
    form.querySelector("#live-likes").hidden = state.person >= 0;
    chips.replaceChildren(...state.likes.map((i, at) => make("li", {}, films.title[i], make("button", {
      type: "button", "aria-label": `remove ${films.title[i]}`,
      onclick: () => {
        change(() => { state.likes = state.likes.filter((other) => other !== i); }, `no longer likes ${films.title[i]}`);
        (chips.querySelectorAll("button")[Math.min(at, state.likes.length - 1)] ?? liked.input).focus();
      },
    }, "×"))));
  }

  function renderTable(t, score) {
    const truth = trueRating(state.film);
    let running = 0;
    for (const item of lines) {
      const off = Boolean(state.off[item.part]);
      if (item.body) item.body.hidden = Boolean(state.folded[item.part]);
      const value = item.kind === "sum" ? score : item.kind === "true" ? truth?.stars ?? score : amount(t, item);
      const closed = item.kind === "part" && item.body && !item.body.hidden; // its terms carry the bars
      item.from = running;
      if (item.kind === "mean") running = value;
      else if ((item.kind === "term" && !item.row.parentNode.hidden) || (item.kind === "part" && !closed)) {
        running += off ? 0 : value;
      }
      Object.assign(item, { amount: value, off, to: item.kind === "true" ? value : running });
    }
    const ends = lines.flatMap((item) => (item.kind === "mean" ? [item.to] : [item.from, item.to]));
    const [least, most] = [Math.min(...ends), Math.max(...ends)];
    const unit = most - least > 1.6 ? 0.5 : 0.25; // of a star, from one line of the grid to the next
    const low = Math.floor(least / unit - 0.3) * unit;
    const high = Math.max(Math.ceil(most / unit + 0.3) * unit, low + 1);
    const at = (x) => `${(100 * (x - low) / (high - low)).toFixed(3)}%`;
    table.style.setProperty("--step", at(low + unit));
    const ticks = [];
    for (let x = Math.ceil(low / unit / 2) * unit * 2; x < high; x += 2 * unit) ticks.push(x);
    axis.replaceChildren(...ticks.map((x) => make("span", { style: `left: ${at(x)}` }, stars(x, unit < 0.5 ? 1 : 0))));

    for (const item of lines) {
      const { kind, row, amount: value, from, to } = item;
      const point = kind === "mean" || kind === "sum" || kind === "true";
      const none = point || from === to;
      item.track.style.setProperty("--from", at(kind === "mean" || kind === "true" ? to : from));
      item.track.style.setProperty("--to", at(to));
      item.bar.style.left = at(point ? to : Math.min(from, to));
      item.bar.style.width = none ? "" : `${(100 * Math.abs(to - from) / (high - low)).toFixed(3)}%`;
      item.bar.className = point ? "live-point" : none ? "live-none" : value < 0 ? "live-minus" : "live-plus";
      row.classList.toggle("live-off", item.off);
      const text = point ? stars(value, 3) : signed(value);
      const equation = kind === "mean" ? "eq-first-order" : kind === "sum" ? "eq-deepfm" : PARTS[item.part]?.equation;
      item.number.replaceChildren(equation ? linked(text, equation) : text);
      if (kind === "term" && item.part === "first") item.value.textContent = valueOf(fields[item.index]);
      if (kind === "part") {
        item.box.checked = !item.off;
        if (item.button) {
          item.button.textContent = `${item.body.hidden ? "show" : "hide"} ${item.count}`;
          item.button.setAttribute("aria-expanded", String(!item.body.hidden));
          item.button.setAttribute("aria-label", `${item.count} terms of ${PARTS[item.part].one}`);
        }
      }
      if (kind === "true") {
        row.hidden = !truth;
        item.number.textContent = truth ? String(truth.stars) : "";
        item.value.textContent = truth?.heldOut ? "held out: the model has not seen it" : "seen in training";
      }
      if (kind === "mean" || kind === "true") continue;
      const old = last && (kind === "sum" ? DeepFM.score(last.before, state.off) : amount(last.before, item));
      const moved = last ? value - old : 0;
      row.classList.toggle("live-has-moved", moved !== 0 && !item.off);
      const size = Math.abs(moved) < 0.0005 ? "< 0.001" : signed(moved);
      item.moved.textContent = moved === 0 || item.off ? "" : `${moved < 0 ? "▼" : "▲"} ${size}`;
    }
  }

  function renderHeadline(t, score) {
    total.textContent = `${stars(score, 3)} stars`;
    subject.textContent = `for ${who()} and ${films.title[state.film]}`;
    const off = Object.keys(PARTS).filter((part) => state.off[part]).map((part) => PARTS[part].one);
    const said = last || off.length ? [] : ["Change something, and this line says which terms moved."];
    if (last) {
      const counted = (part) => [t[part]].flat().filter((x, i) => x !== [last.before[part]].flat()[i]).length;
      const [first, pairs, deep] = Object.keys(PARTS).map(counted);
      said.push(`After “${last.what}”: ${signed(score - DeepFM.score(last.before, state.off), 2)} stars. `
        + `${first + pairs + deep} of ${t.first.length + t.pairs.length + 1} terms moved: `
        + `${first} of ${t.first.length} weights, ${pairs} of ${t.pairs.length} pairs, `
        + `${deep ? "and the deep part" : "not the deep part"}.`);
    }
    if (off.length) said.push(`Without ${off.join(" and ")}.`);
    if (score < 1 || score > 5) said.push(`Ratings end at 1 and 5 stars, so this would be told as ${score < 1 ? 1 : 5}.`);
    story.textContent = said.join(" ");
  }

  function renderTen(list) {
    const focused = ten.contains(document.activeElement);
    ten.replaceChildren(...list.map((item) => {
      const truth = trueRating(item.film);
      const button = make("button", { type: "button", onclick: () => choose(item.film) },
        make("span", { class: "live-title" }, films.title[item.film]),
        make("span", { class: "live-number" }, stars(item.score)),
        make("span", { class: "live-rated" }, truth ? `rated ${truth.stars}` : ""));
      if (item.film === state.film) button.setAttribute("aria-current", "true");
      return make("li", {}, button);
    }));
    if (focused) ten.querySelector("[aria-current]")?.focus({ preventScroll: true });
  }

  const real = !people.ratings;
  facts.textContent = `The model: trained on nine tenths of the ${model.dataset} ratings (seed ${model.seed}). `
    + `On the tenth held out, its root mean squared error is ${model.rmse.toFixed(3)} stars. `
    + (real ? "MovieLens may not be passed on, so no rating is part of this page, and there is no true one to compare with."
      : "People and films are invented, so the ratings can be shown beside the prediction.");

  place.append(form, headline, table, make("h3", {}, "Ten films for this person"), ten, facts);
  place.hidden = false;
  document.documentElement.classList.add("live-on");
  render();
})();
