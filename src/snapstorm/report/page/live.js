"use strict";
// The live page: shows the stream of states, hands over what is pressed, and puts what is new in its place. All
// addresses are relative, so that each holds the token of this page's own.
(() => {
  const byId = (id) => document.getElementById(id);
  const page = window.snapstormPage;
  const REFRESH_SECONDS = 2;
  let state = null, isReading = false, readAt = 0, hasEnd = false, linesSeen = 0;

  const status = byId("live-status"), pause = byId("live-pause"), stop = byId("live-stop");
  const faultKey = byId("live-fault-key"), inject = byId("live-inject"), dialog = byId("live-stop-dialog");

  // What was pressed.
  async function ask(path) {
    try {
      const answer = await fetch(path, { method: "POST" });
      if (!answer.ok) say(await answer.text());
    } catch {
      say("snapstorm could not be reached: the run may have ended");
    }
  }
  let said = "";
  function say(words) { said = words; show(); }
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
    const can = state.isWorking && !state.isStopping && !hasEnd && state.verdict === null;
    pause.disabled = !can;
    pause.textContent = state.isPaused ? "Go on" : "Pause";
    stop.disabled = hasEnd || state.verdict !== null;
    const ended = state.verdict !== null ? `The run has ended: ${state.verdict.toUpperCase()}.` : null;
    const now = state.isStopping ? "Ending the clients' work; what they have done is judged."
      : state.isPaused && state.isWorking ? "Paused: clients end what they are doing, and begin nothing new." : "Going on.";
    const waiting = state.waiting.length ? ` Asked for: ${state.waiting.join(", ")}.` : "";
    setText(status, `${ended ?? now}${waiting}${said ? ` ${said}` : ""}${hasEnd ? " This page stays as it is." : ""}`);
    setText(byId("live-phase"), `${state.phase}${state.sweep ? ` ${state.sweep[0]} of ${state.sweep[1]}` : ""}`);
    setText(byId("live-fault"), state.fault ?? "none is active");
    const doing = Object.entries(state.doing).map(([client, action]) => `${client.split("@")[0]}: ${action}`);
    setText(byId("live-doing"), doing.join(", ") || "none is at work");
    showFaults(can);
    showLines();
    const found = state.violations ? `${state.violations} violation${state.violations === 1 ? "" : "s"}` : "going on";
    if (state.run !== null) document.title = `${state.verdict?.toUpperCase() ?? found} · snapstorm run ${state.run}`;
  }
  const setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };

  function showFaults(can) {
    if (faultKey.options.length !== state.faults.length) {
      faultKey.replaceChildren(...state.faults.map(([key, , reason]) => {
        const option = document.createElement("option");
        option.value = key;
        option.textContent = reason === null ? key : `${key} (not here)`;
        option.disabled = reason !== null;
        return option;
      }));
      const possible = state.faults.find(([, , reason]) => reason === null);
      if (possible) faultKey.value = possible[0];
      showFault();
    }
    faultKey.disabled = inject.disabled = !can || !state.faults.some(([, , reason]) => reason === null);
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
      const line = document.createElement("li");
      line.textContent = words;
      if (words.startsWith("VIOLATED")) line.className = "bad";
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
      if (news.overview.run !== page.run()) { location.reload(); return false; }
      if (!page.isExtendedBy(news.overview)) news = await (await fetch("run?first=0")).json();
      page.update(news.overview, news.first, news.columns);
      Object.entries(news.parts).forEach(replacePart);
      return true;
    } catch {
      return false; // The next state, or the end of the stream, says what there is to say.
    } finally {
      isReading = false;
      readAt = performance.now();
    }
  }
  const shown = new Map();
  function replacePart([id, markup]) {
    if (shown.get(id) === markup) return;
    shown.set(id, markup);
    const old = byId(id), template = document.createElement("template");
    template.innerHTML = markup;
    const fresh = template.content.firstElementChild, focused = document.activeElement;
    for (const open of old.querySelectorAll("details[open][id]")) {
      const same = fresh.querySelector(`#${CSS.escape(open.id)}`);
      if (same) same.open = true;
    }
    const place = old.contains(focused) ? [...old.querySelectorAll("a, button, summary, [tabindex]")].indexOf(focused) : -1;
    const scrolled = [...old.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
    old.replaceWith(fresh);
    [...fresh.querySelectorAll(".scroll")].forEach((box, number) => { if (scrolled[number]) [box.scrollLeft, box.scrollTop] = scrolled[number]; });
    if (place >= 0) fresh.querySelectorAll("a, button, summary, [tabindex]")[place]?.focus({ preventScroll: true });
  }

  // The stream.
  const events = new EventSource("events");
  events.addEventListener("message", async (event) => {
    const before = state;
    state = JSON.parse(event.data);
    if (!page && state.run !== null) { location.reload(); return; }
    if (page && before && before.run !== state.run) { location.reload(); return; }
    show();
    const isLast = state.isOver;
    const isDue = performance.now() - readAt > REFRESH_SECONDS * 1000 && !document.hidden;
    if (isLast) await end(); else if (isDue || (before && before.verdict !== state.verdict)) refresh();
  });
  events.addEventListener("error", () => {
    if (!hasEnd) setText(status, "The connection is lost. If the run has ended, this page stays as it is.");
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

  if (page) {
    page.startLive(async (index) => (await fetch(`operations/${index}`)).json());
  }
})();
