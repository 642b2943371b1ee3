// A listening test in the browser. `test.js` says what is heard; answers stay in this browser until they are downloaded or sent.
"use strict";

(() => {
  const TEST = window.ARCTONE_TEST;
  const RECEIVER = window.ARCTONE_RECEIVER;
  const STORE = `arctone-listen-${TEST.id}`;
  const COLUMNS = ["test", "listener", "session", "order", "position", "trial", "dimension", "practice", "rating", "plays", "seconds"];
  const screenBox = document.getElementById("screen");
  const statusLine = document.getElementById("status");

  let state = load();
  let screens = state ? screensOf(state.order) : [];
  let sounds = [];
  let keys = {};

  // State: who listens, in which order, how far, and all answers. It is written after each step, so a reload goes on there.

  function load() {
    try {
      return JSON.parse(localStorage.getItem(STORE));
    } catch {
      return null;
    }
  }

  function save() {
    try {
      localStorage.setItem(STORE, JSON.stringify(state));
    } catch {
      say("This browser keeps nothing for this page: please do not reload it before the end.", true);
    }
  }

  function begin(listener) {
    const order = orderNumber();
    state = { listener, session: randomHex(8), order, step: 0, shortcuts: true, sent: false, answers: [] };
    screens = screensOf(order);
    save();
    show();
  }

  function forget() {
    try {
      localStorage.removeItem(STORE);
    } catch {
      // Nothing was kept.
    }
    location.reload(); // the next listener gets a number of his own
  }

  // Which of the balanced orders this listener gets: ?listener=3 in the address, the server's count, or a random one.
  function orderNumber() {
    const asked = Number.parseInt(new URLSearchParams(location.search).get("listener") ?? "", 10);
    if (asked >= 1) return asked - 1;
    if (RECEIVER) return RECEIVER.number;
    return crypto.getRandomValues(new Uint16Array(1))[0];
  }

  function screensOf(order) {
    const found = [{ kind: "volume" }];
    for (const dimension of TEST.blocks[order % TEST.blocks.length]) {
      const rows = TEST.orders[dimension];
      const trials = rows[order % rows.length];
      found.push({ kind: "introduction", dimension });
      found.push({ kind: "trial", trial: TEST.practice[dimension], practice: true });
      trials.forEach((trial, number) => found.push({ kind: "trial", trial, number: number + 1, count: trials.length }));
    }
    found.push({ kind: "end" });
    return found;
  }

  // Building blocks

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (typeof value === "boolean") made[key] = value;
      else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }

  function say(words, isProblem = false) {
    statusLine.textContent = words;
    statusLine.classList.toggle("problem", isProblem);
  }

  function render(title, ...content) {
    stopAll();
    say("");
    keys = {};
    const heading = element("h1", { tabindex: "-1" }, title);
    screenBox.replaceChildren(heading, ...content);
    showProgress();
    window.scrollTo(0, 0);
    heading.focus();
  }

  function showProgress() {
    const box = document.getElementById("progress");
    box.hidden = !state;
    if (!state) return;
    const bar = document.getElementById("progress-bar");
    bar.max = screens.length - 1;
    bar.value = state.step;
    document.getElementById("progress-words").textContent = `Step ${state.step + 1} of ${screens.length}`;
  }

  function next() {
    state.step += 1;
    save();
    show();
  }

  // Sounds: one at a time, always from the beginning; heard means heard to the end.

  function makeSound(file, onHeard) {
    const audio = new Audio(`audio/${file}`);
    audio.preload = "auto";
    const bar = element("progress", { value: "0", max: "1", "aria-hidden": "true" });
    const sound = { audio, bar, plays: 0, heard: false };
    audio.addEventListener("timeupdate", () => {
      if (audio.duration) bar.value = audio.currentTime / audio.duration;
    });
    audio.addEventListener("ended", () => {
      bar.value = 1;
      sound.heard = true;
      onHeard(sound);
    });
    audio.addEventListener("error", () => say("A sound cannot be played. Please tell whoever sent you this test.", true));
    sounds.push(sound);
    return sound;
  }

  function play(sound) {
    pauseAll();
    sound.plays += 1;
    sound.audio.currentTime = 0;
    sound.bar.value = 0;
    sound.audio.play().catch((problem) => {
      if (problem.name !== "AbortError") say(`The sound does not start: ${problem.message}`, true);
    });
  }

  function pauseAll() {
    for (const sound of sounds) sound.audio.pause();
  }

  function stopAll() {
    pauseAll();
    sounds = [];
  }

  // Screens

  function show() {
    if (!state) return showWelcome();
    const screen = screens[state.step];
    if (screen.kind === "volume") return showVolume();
    if (screen.kind === "introduction") return showIntroduction(TEST.scales[screen.dimension]);
    if (screen.kind === "trial") return showTrial(screen);
    return showEnd();
  }

  function showWelcome() {
    const input = element("input", { type: "text", id: "listener", maxlength: "60", autocomplete: "off", required: true });
    const form = element(
      "form",
      {},
      element("p", {}, element("label", { for: "listener" }, "Listener code (the one you were given, or a name of your choice)"), element("br"), input),
      element("div", { class: "actions" }, element("button", { class: "main", type: "submit" }, "Begin")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (input.value.trim()) begin(input.value.trim());
    });
    render(
      TEST.title,
      element("p", {}, "Please sit in a quiet room and use headphones. You will hear short sounds and answer one question about each. There are no right answers: what you hear is what counts."),
      element("p", {}, "You can only answer once a sound has played to its end, and you can hear it again as often as you like. If you have to stop, close the page; it goes on at the same place when you open it again on this device."),
      form,
    );
  }

  function showVolume() {
    const button = element("button", { type: "button" }, "Play noise");
    const onward = element("button", { class: "main", type: "button", disabled: true, onclick: next }, "Next");
    const sound = makeSound(TEST.volume, () => {
      button.textContent = "Play noise again";
    });
    button.addEventListener("click", () => {
      play(sound);
      onward.disabled = false;
    });
    render(
      "Volume",
      element("p", {}, "Play the noise and set the volume of your device so that it is comfortable. Please leave it there for the whole test."),
      element("ul", { class: "clips" }, element("li", {}, button, sound.bar)),
      shortcutSetting(),
      element("div", { class: "actions" }, onward),
    );
  }

  function shortcutSetting() {
    const box = element("input", { type: "checkbox", id: "shortcuts", checked: state.shortcuts });
    box.addEventListener("change", () => {
      state.shortcuts = box.checked;
      save();
    });
    const words = element("label", { for: "shortcuts" }, " Keys: ", element("kbd", {}, "P"), " plays, ", element("kbd", {}, "1"), " to ", element("kbd", {}, "5"), " answer, ", element("kbd", {}, "Enter"), " goes on");
    return element("p", {}, box, words);
  }

  function showIntroduction(scale) {
    render(
      scale.name,
      element("p", {}, element("strong", {}, scale.question)),
      element("p", {}, scale.advice),
      element("p", {}, `The answers go from 1 (${scale.words[0]}) to 5 (${scale.words[4]}). First comes one question for practice, which does not count.`),
      element("div", { class: "actions" }, element("button", { class: "main", type: "button", onclick: next }, "Next")),
    );
  }

  function showTrial(screen) {
    const trial = TEST.trials[screen.trial];
    const scale = TEST.scales[trial.dimension];
    const began = performance.now();
    const onward = element("button", { class: "main", type: "submit", disabled: true }, "Next");
    const answers = answersOf(scale, () => {
      onward.disabled = false;
    });
    const heardNote = element("p", { class: "note" }, trial.clips.length > 1 ? "Listen to every sound to its end, then answer." : "Listen to the sound to its end, then answer.");
    const form = element("form", {}, answers, element("div", { class: "actions" }, onward));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const chosen = form.elements.rating.value;
      if (chosen) answer(screen, trial, Number(chosen), (performance.now() - began) / 1000);
    });
    const title = screen.practice ? `${scale.name}: practice` : `${scale.name}: ${screen.number} of ${screen.count}`;
    const described = trial.prompt === null ? [] : [element("p", { class: "prompt" }, element("span", {}, "Description"), trial.prompt)];
    render(title, ...described, heardNote);
    screenBox.append(clipList(trial.clips, answers), form);
    keys = trialKeys(form);
  }

  function answersOf(scale, onChoice) {
    const labels = scale.words.map((word, index) =>
      element("label", {}, element("input", { type: "radio", name: "rating", value: String(index + 1), onchange: onChoice }), element("span", {}, `${index + 1} `, word)),
    );
    return element("fieldset", { disabled: true }, element("legend", {}, scale.question), element("div", { class: "answers" }, ...labels));
  }

  function clipList(files, answers) {
    const rows = files.map((file, index) => {
      const name = files.length > 1 ? `sound ${index + 1}` : "sound";
      const heard = element("span", { class: "heard" });
      const sound = makeSound(file, () => {
        heard.textContent = "✓ heard";
        const missing = sounds.filter((other) => !other.heard).length;
        answers.disabled = missing > 0;
        say(missing ? `${missing} still to be heard.` : "Please answer now.");
      });
      return element("li", {}, element("button", { type: "button", onclick: () => play(sound) }, `Play ${name}`), sound.bar, heard);
    });
    return element("ul", { class: "clips" }, ...rows);
  }

  function answer(screen, trial, rating, seconds) {
    state.answers.push({
      trial: screen.trial,
      dimension: trial.dimension,
      practice: screen.practice === true,
      position: state.step,
      rating,
      plays: sounds.reduce((sum, sound) => sum + sound.plays, 0),
      seconds: Math.round(seconds * 100) / 100,
    });
    next();
  }

  function showEnd() {
    const again = element("button", { type: "button" }, "Another listener on this device");
    again.addEventListener("click", () => {
      if (window.confirm("Remove these answers from this device? Download them first if they were not sent.")) forget();
    });
    const words = RECEIVER
      ? "Thank you! Your answers are being sent; you can also keep them as a file."
      : "Thank you! Please download your answers and send the file to whoever gave you this test.";
    render(
      "The end",
      element("p", {}, words),
      element(
        "div",
        { class: "actions" },
        element("button", { class: "main", type: "button", id: "csv", onclick: () => download("csv", "text/csv", csv()) }, "Download answers (CSV)"),
        element("button", { type: "button", id: "json", onclick: () => download("json", "application/json", json()) }, "Download answers (JSON)"),
        again,
      ),
    );
    if (RECEIVER && !state.sent) send();
  }

  // Keys, unless switched off or typed into a field

  function trialKeys(form) {
    const found = {
      p: () => play(sounds.find((sound) => !sound.heard) ?? sounds[0]),
      enter: () => form.requestSubmit(),
    };
    for (const choice of form.elements.rating) {
      found[choice.value] = () => {
        if (!choice.matches(":disabled")) choice.click();
      };
    }
    return found;
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement && event.target.type === "text";
    const ownMeaning = event.key === "Enter" && event.target instanceof HTMLButtonElement;
    if (!state?.shortcuts || typing || ownMeaning || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    const action = keys[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  });

  // Answers as files

  function json() {
    const { listener, session, order, answers } = state;
    return JSON.stringify({ test: TEST.id, listener, session, order, answers }, null, 1);
  }

  function csv() {
    const head = { test: TEST.id, listener: state.listener, session: state.session, order: state.order };
    const rows = state.answers.map((given) => COLUMNS.map((name) => cell({ ...head, ...given }[name])).join(","));
    return [COLUMNS.join(","), ...rows, ""].join("\r\n");
  }

  function cell(value) {
    const text = String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function download(ending, type, text) {
    const url = URL.createObjectURL(new Blob([text], { type }));
    element("a", { href: url, download: `answers-${TEST.id}-${state.session}.${ending}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }

  async function send() {
    say("Sending …");
    try {
      const reply = await fetch(RECEIVER.url, { method: "POST", headers: { "Content-Type": "application/json" }, body: json() });
      if (!reply.ok) throw new Error((await reply.text()).slice(0, 200));
      state.sent = true;
      save();
      say("Your answers have arrived.");
    } catch (problem) {
      say(`Your answers could not be sent (${problem.message}). Please download them and send the file.`, true);
    }
  }

  function randomHex(count) {
    return Array.from(crypto.getRandomValues(new Uint8Array(count)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  document.title = TEST.title;
  document.getElementById("title").textContent = TEST.title;
  show();
})();
