"use strict";
// The live page: shows the stream of states, hands over what is pressed, and puts what is new in its place. All
// addresses are relative, so that each holds the token of this page's own.
(() => {
  const byId = (id) => document.getElementById(id);
  const page = window.snapstormPage;
  const REFRESH_SECONDS = 2, CLIENTS_NAMED_MAX = 4;
  let state = null, isReading = false, isLost = false, readAt = 0, hasEnd = false, linesSeen = 0;

  const status = byId("live-status"), pause = byId("live-pause"), stop = byId("live-stop");
  const faultKey = byId("live-fault-key"), inject = byId("live-inject"), dialog = byId("live-stop-dialog");

  // What was pressed.
  async function ask(path) {
    say("");
    try {
      const answer = await fetch(path, { method: "POST" });
      if (!answer.ok) say(await answer.text());
    } catch {
      say("snapstorm could not be reached: the run may have ended");
    }
  }
  let said = "";
  function say(words) {
    said = words;
    show();
  }
  pause.addEventListener("click", () => ask(state && state.isPaused ? "resume" : "pause"));
  stop.addEventListener("click", () => dialog.showModal());
  dialog.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    dialog.close();
    if (button.dataset.ask) ask(button.dataset.ask);
  });
  inject.addEventListener("click", () => { if (faultKey.value) ask(`faults/${faultKey.value}`); });
  faultKey.addEventListener("change", showFault);

  // The state.
  function show() {
    if (!state) return;
    const focused = document.activeElement, isReached = !isLost && !state.isOver;
    const can = isReached && state.isWorking && !state.isStopping;
    pause.disabled = !can;
    setText(pause, state.isPaused ? "Go on" : "Pause");
    stop.disabled = !isReached;  // Between two runs it can still be asked that none follows.
    if (stop.disabled && dialog.open) dialog.close();
    dialog.querySelector("[data-ask=stop]").disabled = state.isStopping;
    setText(status, statusWords());
    setText(byId("live-phase"), phaseWords());
    setText(byId("live-done"), doneWords());
    setText(byId("live-fault"), state.fault ?? "none is active");
    setText(byId("live-doing"), doingWords());
    showFaults(can);
    showLines();
    keepFocus(focused);
    const found = state.violations ? violationsWords() : "going on";
    if (state.run !== null) document.title = `${state.verdict?.toUpperCase() ?? found} · snapstorm run ${state.run}`;
  }
  const setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  const violationsWords = () => `${state.violations.toLocaleString("en")} violation${state.violations === 1 ? "" : "s"}`;

  function statusWords() {
    if (isLost) return "The connection is lost. If the run has ended, this page stays as it is.";
    const words = [nowWords()];
    if (state.waiting.length) words.push(`Asked for: ${state.waiting.join(", ")}.`);
    if (said) words.push(said);
    if (hasEnd) words.push("This page stays as it is.");
    return words.join(" ");
  }
  function nowWords() {
    if (state.verdict !== null) return `The run has ended: ${state.verdict.toUpperCase()}.`;
    if (state.run === null) return "The run is about to begin; this page will show it by itself.";
    if (state.isStopping) {
      return state.isWorking ? "Ending the clients' work; then all that they have done is judged."
        : "The clients' work was ended early; what they have done is judged.";
    }
    if (state.isPaused && state.isWorking) return "Paused: clients end what they are doing, and begin nothing new.";
    return "Going on.";
  }
  function phaseWords() {
    if (state.verdict !== null) return "nothing any more";
    return `${state.phase}${state.sweep ? ` ${state.sweep[0]} of ${state.sweep[1]}` : ""}`;
  }
  const showTime = (seconds) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} min`;
  function doneWords() {
    const count = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
    return `${showTime(state.seconds)}, ${count(state.actions, "action")}, ${count(state.restores, "restore")} verified, ${violationsWords()}`;
  }
  // Few clients by name; of many, how many do what.
  function doingWords() {
    const doing = Object.entries(state.doing);
    if (doing.length <= CLIENTS_NAMED_MAX) {
      return doing.map(([client, action]) => `${client.split("@")[0]}: ${action}`).join(", ") || "none is at work";
    }
    const counts = new Map();
    doing.forEach(([, action]) => counts.set(action, (counts.get(action) ?? 0) + 1));
    return [...counts].sort().map(([action, count]) => `${count} × ${action}`).join(", ");
  }

  // A control that is disabled loses the focus, between two runs for instance; it gets it back unless it has gone on.
  let waitsForFocus = null;
  function keepFocus(before) {
    if (before.disabled) waitsForFocus = before;
    if (waitsForFocus === null || waitsForFocus.disabled) return;
    if (document.activeElement === document.body) waitsForFocus.focus({ preventScroll: true });
    waitsForFocus = null;
  }

  function showFaults(can) {
    const possible = state.faults.filter(([, , reason]) => reason === null);
    if (faultKey.querySelectorAll("option").length !== state.faults.length) {
      const others = state.faults.filter(([, , reason]) => reason !== null);
      faultKey.replaceChildren(faultGroup("possible here", possible), faultGroup("not possible here", others));
      if (possible.length) faultKey.value = possible[0][0];
      showFault();
    }
    faultKey.disabled = inject.disabled = !can || !possible.length;
  }
  function faultGroup(words, faults) {
    const group = document.createElement("optgroup");
    group.label = words;
    group.append(...faults.map(([key, , reason]) => {
      const option = document.createElement("option");
      option.value = key;
      option.textContent = reason === null ? key : `${key}: ${reason}`;
      option.disabled = reason !== null;
      return option;
    }));
    return group;
  }
  function showFault() {
    const found = state && state.faults.find(([key]) => key === faultKey.value);
    setText(byId("live-fault-words"), found ? found[1] : "");
  }

  function showLines() {
    const list = byId("live-lines"), isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 8;
    for (const [number, words] of state.lines) {
      if (number <= linesSeen) continue;
      linesSeen = number;
      const line = document.createElement("div");
      line.textContent = words;
      if (/^[\d.]+ s {2}VIOLATED /.test(words)) line.className = "bad";
      list.append(line);
      while (list.children.length > 200) list.firstChild.remove();
    }
    if (isAtEnd) list.scrollTop = list.scrollHeight;
  }

  // The parts of the page.
  async function refresh() {
    if (isReading || !page || !page.isReady()) return false;
    isReading = true;
    try {
      const answer = await fetch(`run?first=${page.settled()}`);
      if (!answer.ok) { say(await answer.text()); return false; }
      let news = await answer.json();
      const isAnother = news.overview.run !== page.run();
      if (isAnother || !page.isExtendedBy(news.overview)) news = await (await fetch("run?first=0")).json();
      page.update(news.overview, news.first, news.columns, state.verdict === null);
      Object.entries(news.parts).forEach(([id, markup]) => replacePart(id, markup, isAnother));
      return true;
    } catch {
      return false; // The next state, or the end of the stream, says what there is to say.
    } finally {
      isReading = false;
      readAt = performance.now();
    }
  }
  // What of a part the reader has opened, scrolled to or given the focus stays so.
  const shown = new Map();
  function replacePart(id, markup, isOfAnotherRun) {
    const old = byId(id);
    if (shown.get(id) === markup || (!state.isOver && !isOfAnotherRun && isSelectedIn(old))) return;
    shown.set(id, markup);
    const template = document.createElement("template");
    template.innerHTML = markup;
    const fresh = template.content.firstElementChild, findFocused = placeOf(document.activeElement, old);
    for (const one of isOfAnotherRun ? [] : old.querySelectorAll("details")) {
      const same = placeOf(one, old)(fresh);
      if (same) same.open = one.open;
    }
    const scrolled = [...old.querySelectorAll(SCROLLED)].filter((box) => box.scrollLeft || box.scrollTop)
      .map((box) => [placeOf(box, old), box.scrollLeft, box.scrollTop]);
    old.replaceWith(fresh);
    for (const [find, left, top] of scrolled) find(fresh)?.scrollTo(left, top);
    findFocused(fresh)?.focus({ preventScroll: true });
  }
  const SCROLLED = ".scroll, pre, nav ul", PLACES = `a, button, summary, details, [tabindex], ${SCROLLED}`;
  // Finds in a fresh part what stands where `element` stands in the old one: counted from the nearest thing with a name,
  // so that what comes before it may grow.
  function placeOf(element, part) {
    if (!part.contains(element)) return () => null;
    const named = element.closest("[id]"), place = [...named.querySelectorAll(PLACES)].indexOf(element);
    return (fresh) => {
      const same = named === part ? fresh : fresh.querySelector(`#${CSS.escape(named.id)}`);
      return place < 0 ? same : same?.querySelectorAll(PLACES)[place];
    };
  }
  // Who is about to copy something does not lose it.
  function isSelectedIn(part) {
    const selection = getSelection();
    return !selection.isCollapsed && selection.containsNode(part, true);
  }

  // The stream.
  const events = new EventSource("events");
  events.addEventListener("message", async (event) => {
    const before = state;
    state = JSON.parse(event.data);
    isLost = false;
    show();
    if (!page && state.run !== null && !state.isOver && !dialog.open) location.reload();
    const isDue = performance.now() - readAt > REFRESH_SECONDS * 1000 && !document.hidden;
    if (state.isOver) await end(); else if (isDue || (before && before.verdict !== state.verdict)) refresh();
  });
  events.addEventListener("error", () => {
    if (hasEnd) return;
    isLost = true;
    if (state) show(); else setText(status, "There is no connection.");
  });
  async function end() {
    for (let tries = 0; tries < 20 && !(await refresh()) && page; tries += 1) await new Promise((go) => setTimeout(go, 100));
    hasEnd = true;
    events.close();
    show();
  }
  // A run in which nothing is said still goes on.
  setInterval(() => {
    if (state && !hasEnd && !document.hidden && performance.now() - readAt > REFRESH_SECONDS * 1000) refresh();
  }, 1000);

  async function askDetails(index) {
    if (state && state.run !== page.run()) throw new Error("another run has begun");
    const answer = await fetch(`operations/${index}?run=${page.run()}`).catch(() => null);
    if (!answer) throw new Error("it stands in the testbed's ledger; snapstorm itself has ended, and can't be asked");
    if (!answer.ok) throw new Error(await answer.text());
    const found = await answer.json();
    if (!found) throw new Error("another run has begun");
    return found;
  }
  if (page) page.startLive(askDetails, true);
})();
