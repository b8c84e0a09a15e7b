"use strict";
/* The page of a model, such as "The model, live": one person or two, the waterfall of terms, the lists of ten, and an
   address that holds all of it. All numbers come from deepfm.js, and all words for what the model is about from the
   model's `words`. "Film" in a name here is whatever is listed. */

(() => {
  const place = document.getElementById("live");
  if (!place || !window.DEEPFM_MODEL) return; // the page then keeps its figure

  const model = DeepFM.load(window.DEEPFM_MODEL);
  const judge = model.lists ?? model; // chooses the films of a list
  const { fields, films, people, words } = model;
  const isNumber = (f) => f.kind === "numeric";
  const traits = fields.filter((f) => f.side === "user" && f.kind !== "id");
  const context = fields.filter((f) => f.side === "rating"); // what belongs to neither the person nor the film
  const clicks = model.task === "click";
  const PARTS = {
    first: { name: "First order", one: "the first order", equation: "eq-first-order" },
    pairs: { name: "Second order", one: "the second order", equation: "eq-pairs" },
    deep: { name: "Deep part", one: "the deep part", equation: "eq-deep" },
  };
  const LETTERS = ["A", "B"];
  const MOST_LIKES = 5;
  const TEN = 10;
  const MOST_OPEN = 9; // fields; the pairs of more would fill some screens
  const MOST_OFFERED = 5000; // of more titles a browser makes no good list while one types
  const wide = window.matchMedia("(min-width: 60rem)").matches;

  // ---------------------------------------------------------------- what is chosen, and what follows from it

  const busiest = films.rows.indexOf(Math.max(...films.rows));
  const open = (some) => Object.fromEntries(some.map((f) => [f.name, isNumber(f) ? null : 0])); // the averages
  const valuesOf = (person) => (person < 0 ? open(traits)
    : Object.fromEntries(traits.map((f) => [f.name, people.values[f.name][person]])));
  const aPerson = (person) => ({ person, values: valuesOf(person), likes: [] }); // −1: someone new; never changed in place
  const start = () => ({
    people: [aPerson(0)], film: busiest, row: open(context), off: {}, folded: { pairs: !wide || fields.length > MOST_OPEN },
  });
  let state = start();
  let seen = []; // films that leave the lists
  let shown = []; // the terms of each person on the page
  let last = null; // the terms before the last change, and what it was

  const isOwn = (f) => f.side === "user" && ["id", "known"].includes(f.kind); // what the model learned of one person
  const rowsOf = (f, film) => (f.kind === "id" ? film + 1 : films.values[f.name][film]);
  const filmEntries = new Map([model, judge].map((m) => [m, []]));
  function entriesOf(m, who, own, film) {
    const known = filmEntries.get(m);
    known[film] ??= m.fields.map((f, i) => f.side === "film" && DeepFM.lookUp(m, i, rowsOf(f, film)));
    return m.fields.map((f, i) => {
      if (isOwn(f)) return own;
      return f.side === "film" ? known[film][i] : DeepFM.lookUp(m, i, (f.side === "user" ? who.values : state.row)[f.name]);
    });
  }

  const owns = new Map([model, judge].map((m) => [m, new WeakMap()]));
  function ownEntry(m, who) {
    if (!owns.get(m).has(who)) owns.get(m).set(who, computed());
    return owns.get(m).get(who);

    function computed() {
      const i = m.fields.findIndex(isOwn);
      if (m === model && who.person >= 0) return DeepFM.lookUp(m, i, people.row[who.person]);
      if (m === model) return DeepFM.newUser(m, (uid, film) => entriesOf(m, who, uid, film), who.likes);
      if (who.person >= 0) return DeepFM.lookUp(m, i, films.title.length + 1 + who.person);
      return DeepFM.taste(m, i, who.likes);
    }
  }

  const termsOf = (m, who, film) => DeepFM.terms(m, entriesOf(m, who, ownEntry(m, who), film));
  const scoreOf = (m, who, film) => DeepFM.score(termsOf(m, who, film), state.off);

  function ratingOf(who, film) {
    const ratings = people.ratings?.[who.person];
    const stars = ratings && (ratings.test[film] ?? ratings.train[film]);
    return stars === undefined ? null : { stars, heldOut: film in ratings.test };
  }

  /** The best films for someone who has not seen them, as far as the page knows. */
  function topFilms(who) {
    const out = new Set([...seen, ...who.likes, ...people.had?.[who.person] ?? []]);
    const left = (film) => films.rows[film] > 0 && !out.has(film) && (ratingOf(who, film)?.heldOut ?? true);
    const scored = films.title.map((_, film) => film).filter(left)
      .map((film) => ({ film, score: scoreOf(judge, who, film) }));
    return scored.sort((a, b) => b.score - a.score || a.film - b.film).slice(0, TEN).map(({ film }) => film);
  }

  // -------------------------------------------------------------------------- the address, and what a browser keeps

  const DATA = model.fingerprint.slice(0, 8);
  const KEPT = `deepfm-seen-${DATA}`;

  /** The films that this browser remembers as seen; none where it may not remember. */
  function remembered() {
    try {
      return JSON.parse(localStorage.getItem(KEPT) ?? "[]").filter((film) => Number.isInteger(film) && film in films.title);
    } catch { return []; }
  }

  const asText = (f, value) => (isNumber(f) ? String(value ?? "") : [value].flat().join("."));

  /** What stands behind the # of an address: all that is chosen, and which data its numbers belong to. */
  function written() {
    const query = new URLSearchParams({ data: DATA });
    state.people.forEach((who, at) => {
      const to = LETTERS[at];
      query.set(to, who.person < 0 ? "new" : people.uid[who.person]);
      const usual = valuesOf(who.person);
      for (const f of traits) {
        const value = asText(f, who.values[f.name]);
        if (value !== asText(f, usual[f.name])) query.set(`${to}-${f.name}`, value);
      }
      if (who.likes.length) query.set(`${to}.likes`, who.likes.join("."));
    });
    query.set(words.item, state.film);
    for (const f of context) {
      const value = asText(f, state.row[f.name]);
      if (value !== asText(f, open([f])[f.name])) query.set(`row-${f.name}`, value);
    }
    const off = Object.keys(PARTS).filter((part) => state.off[part]);
    if (off.length) query.set("without", off.join("."));
    if (seen.length) query.set("seen", seen.join("."));
    return query.toString();
  }

  /** The state and the seen films of such a text; null if it is a place on the page. Throws an Error with the reason. */
  function read(text) {
    const query = new URLSearchParams(text);
    if (!query.has("data")) return null;
    if (query.get("data") !== DATA) throw new Error("it was made with other data than those of this page");
    const refuse = (name) => { throw new Error(`this page cannot use “${name}=${query.get(name) ?? ""}”`); };
    const list = (name, below) => (query.get(name) || "").split(".").filter(Boolean).map((word) => {
      return /^\d{1,6}$/.test(word) && Number(word) < below ? Number(word) : refuse(name);
    });
    const some = (name) => [...new Set(list(name, films.title.length))];
    const valueIn = (f, name) => {
      if (isNumber(f)) {
        const number = query.get(name) === "" ? null : Number(query.get(name));
        return number === null || Number.isFinite(number) ? number : refuse(name);
      }
      const rows = list(name, f.values.length + 1);
      if (f.kind === "multi") return rows;
      return rows.length === 1 ? rows[0] : refuse(name);
    };
    const said = start();
    said.people = LETTERS.filter((to, at) => at === 0 || query.has(to)).map((to) => {
      const person = people.uid.findIndex((uid) => String(uid) === query.get(to));
      if (person < 0 && query.get(to) !== "new") refuse(to);
      const who = { ...aPerson(person), likes: some(`${to}.likes`) };
      if (who.likes.length > (person < 0 ? MOST_LIKES : 0)) refuse(`${to}.likes`);
      for (const f of traits.filter(({ name }) => query.has(`${to}-${name}`))) {
        who.values[f.name] = valueIn(f, `${to}-${f.name}`);
      }
      return who;
    });
    for (const f of context.filter(({ name }) => query.has(`row-${name}`))) said.row[f.name] = valueIn(f, `row-${f.name}`);
    [said.film] = list(words.item, films.title.length);
    if (said.film === undefined) refuse(words.item);
    for (const part of (query.get("without") || "").split(".").filter(Boolean)) {
      if (!(part in PARTS)) refuse("without");
      said.off[part] = true;
    }
    return { state: said, seen: some("seen") };
  }

  /** Takes over what the address says; otherwise begins as usual, with a sentence if the address says nothing usable. */
  function enter() {
    let found = null;
    try {
      found = read(location.hash.slice(1));
      warning.textContent = "";
      if (!found && shown.length) return; // a place on the page: nothing else changes
    } catch (error) {
      warning.textContent = `The address cannot be used: ${error.message}. So the page shows its usual beginning.`;
    }
    ({ state, seen } = found ?? { state: start(), seen: remembered() });
    last = null;
    render();
    showAddress();
  }

  function showAddress() {
    address.value = `${location.href.split("#")[0]}#${written()}`;
    copied.textContent = "";
  }

  function toAddress(hash) {
    try {
      history.replaceState(null, "", hash ? `#${hash}` : location.href.split("#")[0]);
    } catch { /* some browsers allow few changes in a minute */ }
    showAddress();
  }

  // ------------------------------------------------------------------------------------------ words and numbers

  // Log-odds are told like stars, from 1 to 5; a target whose range is ten times as wide is told with one digit less.
  const width = clicks ? 4 : model.range[1] - model.range[0];
  const DIGITS = Math.min(12, Math.max(0, 3 - Math.floor(Math.log10(width / 4))));
  const LEAST = 0.5 * 10 ** -DIGITS; // what rounding does not hide
  const fixed = (x, digits = DIGITS) => x.toFixed(digits).replace("-", "−");
  const signed = (x, digits = DIGITS) => (x < 0 ? "−" : "+") + fixed(Math.abs(x), digits);
  const rough = Math.max(0, DIGITS - 1);
  const probability = (p) => (p < 0.001 ? p.toExponential(2).replace("-", "−") : p.toFixed(4));
  const told = (score) => (clicks ? probability(DeepFM.predicted(model, score)) : fixed(score) + words.unit);
  const onList = (score) => (clicks ? probability(DeepFM.predicted(model, score)) : fixed(score, rough));
  const named = (who) => (who.person >= 0 ? `user ${people.uid[who.person]}` : "someone new");
  const dated = (seconds) => new Date(1000 * seconds).toISOString().slice(0, 16); // UTC
  const measured = (f, number) => (f.time ? dated(number).replace("T", " ") : String(Number(number.toPrecision(7))).replace("-", "−"));
  const label = (f, rows) => {
    if (isNumber(f)) return rows === null ? "not given" : measured(f, rows);
    return [rows].flat().map((row) => (row ? f.values[row - 1] : "not given")).join(", ") || "none";
  };
  const described = (i) => [`user ${people.uid[i]}`, ...traits.map((f) => label(f, people.values[f.name][i]))].join(", ");
  const valueOf = (f, who) => {
    if (isOwn(f) && who.person < 0) return who.likes.length ? "mixture of users" : "average user";
    if (isOwn(f)) return named(who);
    if (f.kind === "id") return films.title[state.film];
    return label(f, { user: who.values, rating: state.row }[f.side]?.[f.name] ?? films.values[f.name]?.[state.film] ?? null);
  };
  const both = (one, other) => (other === undefined || one === other ? one : `${one} | ${other}`);

  /** The smallest of 1, 2.5 and 5 times a power of ten that is not below a number. */
  function gridStep(least) {
    const power = 10 ** Math.floor(Math.log10(least));
    return [1, 2.5, 5, 10].find((times) => times * power >= least * (1 - 1e-9)) * power;
  }

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
      else if (input.value.trim()) say(`No ${words.title} contains “${input.value}”.`);
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

  const offered = films.title.length > MOST_OFFERED ? [] : films.title;
  const titles = make("datalist", { id: "live-titles" }, ...offered.map((t) => make("option", { value: t })));
  const control = (text, select) =>
    make("div", { class: "live-control" }, make("label", { for: select.id }, text), select);

  /** Films as a row of titles, each with a button that removes it. */
  function chips(words, verb, remove, next) {
    const list = make("ul", { class: "live-chips", "aria-label": words });
    const show = (some) => list.replaceChildren(...some.map((i, at) => make("li", {}, films.title[i], make("button", {
      type: "button", "aria-label": `${verb} ${films.title[i]}`,
      onclick: () => {
        remove(i);
        const left = list.querySelectorAll("button");
        (left[Math.min(at, left.length - 1)] ?? next).focus();
      },
    }, "×"))));
    return { list, show };
  }

  /** A labelled choice of the value of a field, or of its average; `choose` gets the new value and a line about it. */
  function valueControl(f, id, chosen, choose) {
    const take = (to) => choose(to, `${f.label}: ${label(f, chosen())} → ${label(f, to)}`);
    if (isNumber(f)) {
      const note = make("span", { class: "live-note", id: `${id}-note` }, `empty: the average, ${measured(f, Number(f.mean.toPrecision(f.time ? 12 : 4)))}${f.time ? " UTC" : ""}`);
      const input = make("input", {
        id, type: f.time ? "datetime-local" : "number", step: "any", "aria-describedby": note.id,
        onchange: () => {
          const number = input.value === "" ? null : f.time ? Date.parse(`${input.value}Z`) / 1000 : Number(input.value);
          if (number === chosen()) show();
          else take(Number.isFinite(number) ? number : null);
        },
      });
      const show = () => { input.value = chosen() === null ? "" : f.time ? dated(chosen()) : String(chosen()); };
      const box = control(f.label, input);
      box.append(note);
      return { box, show };
    }
    const several = f.kind === "multi";
    const select = make("select", {
      id,
      multiple: several,
      onchange: () => {
        const rows = [...select.selectedOptions].map((option) => Number(option.value));
        take(several ? rows.filter((row) => row || rows.length === 1) : rows[0]);
      },
    }, make("option", { value: 0 }, "not given (the average)"),
    ...f.values.map((text, i) => make("option", { value: i + 1 }, text)));
    const show = () => {
      const rows = new Set([chosen()].flat());
      for (const option of select.options) option.selected = rows.has(Number(option.value));
    };
    return { box: control(f.label, select), show };
  }

  /** What can be set of person A or B. */
  function personForm(at) {
    const id = (name) => `live-${name}${at ? "-b" : ""}`;
    const edit = (changes, what) => change(() => {
      state.people = state.people.map((who, i) => (i === at ? { ...who, ...changes } : who));
    }, what);

    const user = make("select", {
      id: id("user"), onchange: () => edit(aPerson(Number(user.value)), "another user"),
    }, make("option", { value: -1 }, "someone new: describe below"),
    ...people.uid.map((_, i) => make("option", { value: i }, described(i))));

    const values = traits.map((f) => valueControl(f, id(`of-${f.name}`), () => state.people[at].values[f.name], (to, what) => {
      edit({ values: { ...state.people[at].values, [f.name]: to } }, what);
    }));

    const liked = titleSearch(id("like"), `liked ${words.items}, up to ${MOST_LIKES}`, () => "", (i) => {
      const { likes } = state.people[at];
      if (likes.includes(i)) liked.say(`${films.title[i]} is among them.`);
      else if (likes.length >= MOST_LIKES) liked.say(`${MOST_LIKES} ${words.items}: remove one to add another.`);
      else edit({ likes: [...likes, i] }, `likes ${films.title[i]}`);
    });
    const row = chips(`liked ${words.items}`, "remove", (i) => edit(
      { likes: state.people[at].likes.filter((other) => other !== i) }, `no longer likes ${films.title[i]}`), liked.input);
    liked.box.append(row.list);

    const likes = make("div", { class: "live-wide", id: id("likes") }, liked.box);
    const box = make("fieldset", { class: "live-person" },
      make("legend", {}, `Person ${LETTERS[at]}`),
      make("div", { class: "live-wide" }, control("user", user)),
      ...values.map(({ box }) => box), likes);

    const show = (who) => {
      box.hidden = !who;
      if (!who) return;
      user.value = who.person;
      for (const value of values) value.show();
      liked.show();
      likes.hidden = who.person >= 0;
      row.show(who.likes);
    };
    return { box, show };
  }

  const forms = LETTERS.map((_, at) => personForm(at));
  const two = make("input", { type: "checkbox", id: "live-two", autocomplete: "off", onchange: () => {
    const [first] = state.people;
    state.people = two.checked ? [first, aPerson(first.person === 1 ? 0 : Math.min(1, people.uid.length - 1))] : [first];
    last = null;
    update();
  } });

  const film = titleSearch("live-film", `${words.item}: type a part of its ${words.title}`, () => films.title[state.film], choose);
  function choose(i) {
    if (i === state.film) render();
    else change(() => { state.film = i; }, `${words.item}: ${films.title[i]}`);
  }

  const ofRow = context.map((f) => valueControl(f, `live-row-${f.name}`, () => state.row[f.name], (to, what) => {
    change(() => { state.row = { ...state.row, [f.name]: to }; }, what);
  }));
  const rowBox = make("fieldset", { class: "live-person live-row live-wide" },
    make("legend", {}, "The row"), ...ofRow.map(({ box }) => box));
  rowBox.hidden = !context.length;

  const form = make("form", { class: "live-form", autocomplete: "off", onsubmit: (event) => event.preventDefault() },
    make("div", { class: "live-people" }, ...forms.map(({ box }) => box)),
    make("div", { class: "live-wide live-choice" }, two, make("label", { for: two.id }, "two people side by side")),
    make("div", { class: "live-wide" }, film.box),
    rowBox, titles);

  const warning = make("p", { class: "live-warning", role: "alert" });
  const totals = LETTERS.map((letter) => {
    const [mark, total, subject] = [make("b", {}, letter), make("strong"), make("span")];
    return { mark, total, subject, line: make("p", { class: "live-total" }, mark, " ", total, " ", subject) };
  });
  const story = make("p", { class: "live-story" });
  const again = make("button", {
    type: "button", class: "live-again", onclick: () => {
      [state, seen, last, warning.textContent] = [start(), remembered(), null, ""];
      render();
      toAddress("");
    },
  }, "Start again");
  const summary = make("div", { role: "status" });
  const headline = make("div", { class: "live-headline" }, summary, again);

  // ----------------------------------------------------------------------------------------------- the waterfall

  const axis = make("td", { class: "live-axis", "aria-hidden": "true" });
  const lines = []; // one for each row of the table, in order

  function line(kind, heading, more = {}) {
    const item = { kind, ...more, moved: make("span", { class: "live-moved" }), value: make("span", { class: "live-value" }) };
    item.lanes = LETTERS.map((letter) => {
      const [bar, number] = [make("i"), make("span", { class: "live-of", "data-of": letter })];
      return { bar, number, lane: make("div", { class: `live-lane live-lane-${letter}` }, bar) };
    });
    item.track = make("td", { class: "live-track", "aria-hidden": "true" }, ...item.lanes.map(({ lane }) => lane));
    item.row = make("tr", { class: `live-${kind}` },
      make("th", { scope: "row" }, heading, " ", item.value), item.track,
      make("td", { class: "live-number" }, ...item.lanes.flatMap(({ number }) => [number, " "]), item.moved));
    lines.push(item);
    return item;
  }

  function partLines(part, names) {
    const box = make("input", { type: "checkbox", id: `live-on-${part}`, checked: true, autocomplete: "off",
      onchange: () => { state.off = { ...state.off, [part]: !box.checked }; update(); } });
    const heading = make("span", { class: "live-part-name" }, box,
      make("label", { for: box.id }, PARTS[part].name));
    const head = line("part", heading, { part, box });
    if (!names.length) return [make("tbody", {}, head.row)];
    const rows = names.map((name, index) => line("term", name, { part, index, name }).row);
    const body = make("tbody", { id: `live-terms-${part}` }, ...rows);
    head.body = body;
    head.button = make("button", { type: "button", "aria-controls": body.id,
      onclick: () => { state.folded = { ...state.folded, [part]: !body.hidden }; render(); } });
    head.count = names.length;
    heading.append(head.button);
    return [make("tbody", {}, head.row), body];
  }

  const names = fields.map((f) => f.label);
  const pairNames = names.flatMap((a, i) => names.slice(i + 1).map((b) => `${a} × ${b}`));
  const heads = [...LETTERS.map((letter) => make("span", { class: "live-of" }, letter)), make("span", { class: "live-moved" })];
  const table = make("table", { class: "live-terms" },
    make("caption", {}, `How the score comes about, in ${words.scale}`),
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "term"), axis,
      make("th", { scope: "col" }, ...heads.flatMap((head) => [head, " "])))),
    make("tbody", {}, line("mean", "constant w₀").row),
    ...partLines("first", names), ...partLines("pairs", pairNames), ...partLines("deep", []),
    make("tbody", {}, line("sum", clicks ? "sum of the terms" : "prediction").row,
      ...clicks ? [line("sigmoid", "probability, by one sigmoid of the sum").row] : [], line("true", words.truth).row));

  // ------------------------------------------------------------------------------------------- lists and address

  const lists = LETTERS.map((letter) => {
    const whose = make("p", { class: "live-whose" });
    const ten = make("ol", { class: "live-ten", "aria-label": `ten ${words.items} for person ${letter}` });
    return { whose, ten, box: make("div", {}, whose, ten) };
  });
  const common = make("p", { class: "live-common", role: "status" });
  const seenSearch = titleSearch("live-seen", `a${/^[aeiou]/.test(words.item) ? "n" : ""} ${words.item} you have ${words.seen}: it leaves the lists`, () => "", (i) => {
    if (seen.includes(i)) seenSearch.say(`${films.title[i]} is marked already.`);
    else mark(i, true);
  });
  const marked = chips(`${words.seen} ${words.items}`, `not ${words.seen}:`, (i) => mark(i, false), seenSearch.input);
  seenSearch.box.append(marked.list);

  /** Marks a film as seen, or not, on the page and in what the browser remembers. */
  function mark(film, isSeen) {
    const edit = (some) => [...some.filter((other) => other !== film), ...(isSeen ? [film] : [])];
    const kept = edit(remembered());
    try { localStorage.setItem(KEPT, JSON.stringify(kept)); } catch { /* then the address alone keeps it */ }
    seen = edit(seen);
    update();
  }

  const copied = make("span", { class: "live-note", role: "status" });
  const address = make("input", { id: "live-address", type: "text", readOnly: true, onfocus: () => address.select() });
  const copy = make("button", { type: "button", class: "live-again", onclick: async () => {
    try {
      await navigator.clipboard.writeText(address.value);
      copied.textContent = "Copied.";
    } catch {
      address.focus();
      copied.textContent = "The address is selected: copy it as you copy text.";
    }
  } }, "Copy");
  const share = make("div", { class: "live-share" },
    make("div", { class: "live-control" },
      make("label", { for: address.id }, "the address of all that is chosen here"), address),
    copy, copied);
  const facts = make("p", { class: "live-facts" });

  // --------------------------------------------------------------------------------------------------- rendering

  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const amount = (t, { kind, part, index }) => {
    if (kind === "mean") return t.w0;
    if (kind === "sigmoid") return DeepFM.predicted(model, DeepFM.score(t, state.off));
    if (kind === "sum") return DeepFM.score(t, state.off);
    if (part === "deep") return t.deep;
    return kind === "term" ? t[part][index] : sum(t[part]);
  };

  /** Changes the state and remembers the terms before. */
  function change(edit, what) {
    const before = shown;
    edit();
    last = { before, what };
    update();
  }

  function update() {
    render();
    warning.textContent = "";
    toAddress(written());
  }

  function render() {
    shown = state.people.map((who) => termsOf(model, who, state.film));
    place.classList.toggle("live-two", state.people.length > 1);
    forms.forEach((some, at) => some.show(state.people[at]));
    for (const value of ofRow) value.show();
    two.checked = state.people.length > 1;
    film.show();
    seenSearch.show();
    marked.show(seen);
    renderTable();
    renderHeadline();
    renderLists(state.people.map(topFilms));
  }

  function renderTable() {
    const truths = state.people.map((who) => ratingOf(who, state.film));
    const compared = shown.length > 1;
    const columns = compared ? ["A", "B", "B − A"] : [words.column, "", "moved by"];
    heads.forEach((head, i) => { head.textContent = columns[i]; });
    for (const item of lines) {
      item.off = Boolean(state.off[item.part]);
      if (item.body) item.body.hidden = Boolean(state.folded[item.part]);
    }
    shown.forEach((t, at) => {
      let running = 0;
      for (const item of lines) {
        const from = running;
        const value = item.kind === "true" ? truths[at]?.stars : amount(t, item);
        const closed = item.kind === "part" && item.body && !item.body.hidden; // its terms carry the bars
        if (item.kind === "mean") running = value;
        else if ((item.kind === "term" && !item.row.parentNode.hidden) || (item.kind === "part" && !closed)) {
          running += item.off ? 0 : value;
        }
        Object.assign(item.lanes[at], { from, value, to: item.kind === "true" ? value ?? running : running });
      }
    });
    const placed = lines.filter(({ kind }) => kind !== "sigmoid" && !(clicks && kind === "true")); // have a place in log-odds
    const ends = placed.flatMap(({ kind, lanes }) => lanes.slice(0, shown.length)
      .flatMap(({ from, to }) => (kind === "mean" ? [to] : [from, to])));
    const [least, most] = [Math.min(...ends), Math.max(...ends)];
    const unit = gridStep(Math.max(most - least, width / 4) / 6.4); // from one line of the grid to the next
    const low = Math.floor(least / unit - 0.3) * unit;
    const high = Math.max(Math.ceil(most / unit + 0.3) * unit, low + 4 * unit);
    const decimals = Math.max(0, -Math.floor(Math.log10(2 * unit) + 1e-9));
    const at = (x) => `${(100 * (x - low) / (high - low)).toFixed(3)}%`;
    table.style.setProperty("--step", at(low + unit));
    const ticks = [];
    for (let x = Math.ceil(low / unit / 2) * unit * 2; x < high; x += 2 * unit) ticks.push(x);
    axis.replaceChildren(...ticks.map((x) => make("span", { style: `left: ${at(x)}` }, fixed(x, decimals))));

    for (const item of lines) {
      const { kind, row, part } = item;
      const point = kind === "mean" || kind === "sum" || kind === "true";
      const equation = kind === "mean" ? "eq-first-order" : kind === "sum" ? "eq-deepfm" : PARTS[part]?.equation;
      item.lanes.forEach(({ lane, bar, number, from, to, value }, person) => {
        lane.hidden = person >= shown.length || value === undefined;
        number.textContent = "";
        if (lane.hidden) return;
        if (!placed.includes(item)) {
          lane.hidden = true;
          number.textContent = kind === "true" ? String(value) : probability(value);
          return;
        }
        const none = point || from === to;
        lane.style.setProperty("--from", at(kind === "mean" || kind === "true" ? to : from));
        lane.style.setProperty("--to", at(to));
        bar.style.left = at(point ? to : Math.min(from, to));
        bar.style.width = none ? "" : `${(100 * Math.abs(to - from) / (high - low)).toFixed(3)}%`;
        bar.className = point ? "live-point" : none ? "live-none" : value < 0 ? "live-minus" : "live-plus";
        const text = kind === "true" ? String(value) : point ? fixed(value) : signed(value);
        number.replaceChildren(equation && person === 0 ? linked(text, equation) : text);
      });
      row.classList.toggle("live-off", item.off);
      if (kind === "term" && part === "first") {
        item.value.textContent = both(...state.people.map((who) => valueOf(fields[item.index], who)));
      }
      if (kind === "part") {
        item.box.checked = !item.off;
        if (item.button) {
          item.button.textContent = `${item.body.hidden ? "show" : "hide"} ${item.count}`;
          item.button.setAttribute("aria-expanded", String(!item.body.hidden));
          item.button.setAttribute("aria-label", `${item.count} terms of ${PARTS[part].one}`);
        }
      }
      if (kind === "true") {
        row.hidden = !truths.some(Boolean);
        const when = (truth) => (!truth ? "none" : truth.heldOut ? "held out" : "seen in training");
        item.value.textContent = both(...truths.map(when));
      }
      if (kind === "mean" || kind === "true") continue;
      const old = compared ? item.lanes[0].value : last && amount(last.before[0], item);
      const moved = old === null || kind === "sigmoid" ? 0 : item.lanes[compared ? 1 : 0].value - old;
      row.classList.toggle("live-has-moved", moved !== 0 && !item.off && !compared);
      const size = Math.abs(moved) < LEAST ? `< ${fixed(2 * LEAST)}` : signed(moved);
      item.moved.textContent = moved === 0 || item.off ? "" : `${moved < 0 ? "▼" : "▲"} ${size}`;
    }
  }

  /** What differs between the terms of A and of B, the largest first. */
  function differences() {
    const score = shown.map((t) => DeepFM.score(t, state.off));
    const gaps = lines.filter((item) => !item.off && (item.kind === "term" || item.part === "deep") && item.kind !== "mean")
      .map((item) => [item.name ?? "the deep part", item.lanes[1].value - item.lanes[0].value])
      .filter(([, gap]) => gap !== 0).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a));
    const most = gaps.slice(0, 3).map(([name, gap]) => `${name} (${signed(gap, rough)})`).join(", ");
    const gap = score[1] - score[0];
    const whole = gap === 0 ? "A and B get the same score."
      : `B gets ${fixed(Math.abs(gap), rough)}${words.unit} ${gap < 0 ? "less" : "more"} than A.`;
    return gaps.length ? `${whole} ${gaps.length} terms differ, most of all ${most}.` : whole;
  }

  function renderHeadline() {
    const score = shown.map((t) => DeepFM.score(t, state.off));
    summary.replaceChildren(...totals.slice(0, shown.length).map(({ line }) => line), story);
    totals.slice(0, shown.length).forEach(({ mark, total, subject }, at) => {
      mark.hidden = shown.length < 2;
      total.textContent = told(score[at]);
      subject.textContent = `${words.total} for ${named(state.people[at])} and ${films.title[state.film]}`.trim();
    });
    const off = Object.keys(PARTS).filter((part) => state.off[part]).map((part) => PARTS[part].one);
    const said = [];
    if (shown.length > 1) said.push(differences());
    else if (last) {
      const [t, before] = [shown[0], last.before[0]];
      const counted = (part) => [t[part]].flat().filter((x, i) => x !== [before[part]].flat()[i]).length;
      const [first, pairs, deep] = Object.keys(PARTS).map(counted);
      said.push(`After “${last.what}”: ${signed(score[0] - DeepFM.score(before, state.off), rough)}${words.unit}. `
        + `${first + pairs + deep} of ${t.first.length + t.pairs.length + 1} terms moved: `
        + `${first} of ${t.first.length} weights, ${pairs} of ${t.pairs.length} pairs, `
        + `${deep ? "and the deep part" : "not the deep part"}.`);
    } else if (!off.length) said.push("Change something, and this line says which terms moved.");
    if (off.length) said.push(`Without ${off.join(" and ")}.`);
    const [lowest, highest] = model.range;
    if (shown.length < 2 && !clicks && (score[0] < lowest || score[0] > highest)) {
      said.push(`${words.ends}, so this would be told as ${score[0] < lowest ? lowest : highest}.`);
    }
    story.textContent = said.join(" ");
  }

  function renderLists(tops) {
    lists.forEach(({ whose, ten, box }, at) => {
      box.hidden = at >= tops.length;
      if (box.hidden) {
        ten.replaceChildren();
        return;
      }
      const who = state.people[at];
      const other = tops[1 - at];
      const focused = [...ten.querySelectorAll("button")].indexOf(document.activeElement);
      whose.hidden = !other;
      whose.textContent = `${LETTERS[at]}: ${named(who)}`;
      ten.classList.toggle("live-with-more", Boolean(people.ratings));
      ten.replaceChildren(...tops[at].map((i) => {
        const truth = ratingOf(who, i);
        const there = other ? other.indexOf(i) + 1 : 0;
        const more = [truth ? `rated ${truth.stars}` : "", there ? `${LETTERS[1 - at]}: ${there}` : ""];
        const button = make("button", { type: "button", class: "live-choose", onclick: () => choose(i) },
          make("span", { class: "live-title" }, films.title[i]),
          make("span", { class: "live-number" }, onList(scoreOf(model, who, i))),
          make("span", { class: "live-rated" }, more.filter(Boolean).join(", ")));
        if (i === state.film) button.setAttribute("aria-current", "true");
        return make("li", { class: other && !there ? "live-alone" : "" }, make("div", {}, button, make("button", {
          type: "button", class: "live-mark", "aria-label": `${words.seen}: ${films.title[i]}`, onclick: () => mark(i, true),
        }, words.seen)));
      }));
      ten.querySelectorAll("button")[focused]?.focus({ preventScroll: true });
    });
    const shared = tops[1]?.filter((i) => tops[0].includes(i)).length;
    common.hidden = shared === undefined;
    common.textContent = shared === undefined ? "" : `On both lists: ${shared} of ten ${words.items}. `
      + `A number behind a letter is the ${words.item}'s place on the other list; a bar marks ${words.items} that are on one list only.`;
  }

  const how = make("p", { class: "live-facts" }, model.notes.lists);
  facts.textContent = model.notes.model;

  place.append(warning, form, headline, table, make("h3", {}, `Ten ${words.items}`), how, common,
    make("div", { class: "live-lists" }, ...lists.map(({ box }) => box)), seenSearch.box, share, facts);
  place.hidden = false;
  document.documentElement.classList.add("live-on");
  enter();
  addEventListener("hashchange", enter);
})();
