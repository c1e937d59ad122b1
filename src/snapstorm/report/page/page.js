"use strict";
// The timeline, the operation that was chosen, and the list of operations. Everything else on the page stands without
// a script. Texts of the run are set as text only, never as markup.
(() => {
  const byId = (id) => document.getElementById(id);
  let run = JSON.parse(byId("run-data").textContent);
  const PER_SECOND = 10000;
  const SPAN_SECONDS_MIN = 0.002;
  const ROWS_PER_PAGE = 25;

  const make = (name, text, style) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (style) element.className = style;
    return element;
  };
  const clientName = (lane) => run.clients[lane].split("@")[0];
  const showSeconds = (seconds) =>
    seconds < 0.001 ? `${(seconds * 1000).toFixed(1)} ms`
      : seconds < 1 ? `${Number((seconds * 1000).toPrecision(3))} ms` : `${Number(seconds.toPrecision(3))} s`;
  const showMoment = (seconds, digits = 2) => {
    const whole = Math.floor(seconds / 60);
    if (!whole) return `${seconds.toFixed(digits)} s`;
    const rest = (seconds - whole * 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
    return whole < 60 ? `${whole}:${rest}` : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}:${rest}`;
  };

  // In virtual time: the date at a moment of the run, after the jumps that were recorded until then.
  const virtualDate = (seconds, length = 10) => {
    const jumped = run.virtual.jumps.reduce((sum, [at, by]) => (at <= seconds ? sum + by : sum), 0);
    return new Date(run.virtual.began + jumped + seconds * 1000).toISOString().slice(0, length).replace("T", " ");
  };
  const showTime = (seconds, digits = 2) =>
    run.virtual ? `${showMoment(seconds, digits)} (${virtualDate(seconds, 16)})` : showMoment(seconds, digits);

  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
  }

  // All operations, as columns; null until they have been unpacked.
  let operations = null;
  let lanes = [];
  const blocks = new Map();

  const readOperations = async () => takeOperations(0, await unpack(byId("operations-data").textContent));

  // Takes operations from number `first` on; those before stay as they are.
  function takeOperations(first, columns) {
    let moment = 0;
    const moments = columns.began.map((after) => (moment += after));
    const kept = (name, added) => (first && operations ? operations[name].slice(0, first).concat(added) : added);
    const names = ["id", "took", "client", "action", "outcome", "own"];
    const held = Object.fromEntries(names.map((name) => [name, kept(name, columns[name])]));
    held.moments = kept("moments", moments);
    const count = held.id.length;
    const began = new Float64Array(count), ended = new Float64Array(count);
    const byLane = run.clients.map(() => []);
    for (let index = 0; index < count; index += 1) {
      const took = held.took[index];
      began[index] = held.moments[index] / PER_SECOND;
      ended[index] = took < 0 ? run.seconds : (held.moments[index] + took) / PER_SECOND;
      byLane[held.client[index]].push(index);
    }
    // In one lane operations follow one another, but for what snapstorm itself does beside them: `reach` is how far
    // everything up to an operation reaches, and never falls, so that one can search in it.
    lanes = byLane.map((indices) => {
      const reach = new Float64Array(indices.length);
      let latest = 0;
      indices.forEach((index, place) => { latest = Math.max(latest, ended[index]); reach[place] = latest; });
      return { indices, reach };
    });
    operations = { ...held, count, began, ended };
  }

  // On a live page what only single operations have is asked for where the page came from. While the run goes on, an
  // operation without an end is no failure.
  let askDetails = null, isGoingOn = false;
  const outcomeWord = (outcome) => (isGoingOn && outcome === "open" ? "goes on" : run.outcomeWords[outcome]);
  function details(index) {
    if (askDetails) return askDetails(index);
    const number = Math.floor(index / run.perBlock);
    if (!blocks.has(number)) blocks.set(number, unpack(byId(`details-${number}`).textContent));
    return blocks.get(number).then((block) => block[index % run.perBlock]);
  }

  const firstReaching = (lane, seconds) => {
    let low = 0, high = lane.reach.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (lane.reach[middle] < seconds) low = middle + 1; else high = middle;
    }
    return low;
  };

  // The timeline.
  const box = byId("lanes"), canvas = box.querySelector("canvas"), tip = byId("tip"), shown = byId("view");
  const pen = canvas.getContext("2d");
  const view = { from: 0, to: run.seconds };
  let colours = {}, shape = {}, chosen = -1, hovered = -1, currentLane = 0, isQueued = false;

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["ground", "panel", "text", "soft", "edge", "snapshot", "restore", "delete", "look", "files",
      "upkeep", "failed", "unknown", "open", "fault", "fault-text"]) {
      colours[name] = style.getPropertyValue(`--${name}`).trim();
    }
  }

  function measure() {
    const width = box.clientWidth, count = Math.max(1, run.clients.length);
    const laneHeight = Math.max(5, Math.min(30, Math.floor(660 / count)));
    const left = width < 600 ? 62 : 100, top = run.faults.length ? 24 : 12;
    shape = { width, laneHeight, left, top, right: width - 10, bottom: top + count * laneHeight };
    shape.height = shape.bottom + 24;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(shape.height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${shape.height}px`;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  const toX = (seconds) => shape.left + (seconds - view.from) / (view.to - view.from) * (shape.right - shape.left);
  const toSeconds = (x) => view.from + (x - shape.left) / (shape.right - shape.left) * (view.to - view.from);

  function queueDraw() {
    if (isQueued) return;
    isQueued = true;
    requestAnimationFrame(() => { isQueued = false; draw(); });
  }

  function draw() {
    pen.fillStyle = colours.ground;
    pen.fillRect(0, 0, shape.width, shape.height);
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    drawLanes();
    pen.save();
    pen.beginPath();
    pen.rect(shape.left, 0, shape.right - shape.left, shape.height);
    pen.clip();
    drawFaults();
    if (operations) lanes.forEach(drawOperations); else if (run.bins) run.bins.forEach(drawBins);
    for (const index of [hovered, chosen]) if (index >= 0) drawOutline(index, index === chosen ? 2.5 : 1.2);
    run.violations.forEach(drawViolation);
    pen.restore();
    drawAxis();
  }

  function drawLanes() {
    const every = Math.ceil(13 / shape.laneHeight);
    run.clients.forEach((_, lane) => {
      const y = shape.top + lane * shape.laneHeight;
      if (lane % 2) { pen.fillStyle = colours.panel; pen.fillRect(shape.left, y, shape.right - shape.left, shape.laneHeight); }
      if (lane % every === 0) {
        pen.fillStyle = lane === currentLane ? colours.text : colours.soft;
        pen.textAlign = "right";
        pen.fillText(clientName(lane), shape.left - 6, y + shape.laneHeight * every / 2, shape.left - 10);
      }
    });
  }

  function drawFaults() {
    pen.textAlign = "left";
    let textFrom = -Infinity;
    for (const fault of run.faults) {
      const x = toX(fault.began), width = Math.max(1.5, toX(fault.ended) - x);
      if (x > shape.right || x + width < shape.left) continue;
      pen.globalAlpha = 0.28;
      pen.fillStyle = colours.fault;
      pen.fillRect(x, 0, width, shape.bottom);
      pen.globalAlpha = 1;
      const at = Math.max(x, shape.left) + 3;
      if (at < textFrom) continue;
      pen.fillStyle = colours["fault-text"];
      pen.fillText(fault.key, at, 12);
      textFrom = at + pen.measureText(fault.key).width + 8;
    }
  }

  const familyColour = (action) => colours[run.families[action]];
  const mark = { failed: "failed", unknown: "unknown" };

  function drawBar(lane, x, width, family, outcome, isOwn) {
    const gap = shape.laneHeight > 12 ? 3 : 0.5;
    const height = shape.laneHeight - 2 * gap, name = run.outcomes[outcome];
    const inset = isOwn ? height * 0.2 : 0;
    const y = shape.top + lane * shape.laneHeight + gap + inset, tall = height - 2 * inset;
    pen.globalAlpha = name === "no_op" ? 0.4 : name === "open" ? 0.6 : 1;
    pen.fillStyle = family;
    pen.fillRect(x, y, width, tall);
    pen.globalAlpha = 1;
    if (mark[name]) { pen.fillStyle = colours[mark[name]]; pen.fillRect(x, y + tall / 2, width, tall / 2); }
  }

  function drawOperations(lane, number) {
    // What is narrower than a pixel is drawn together: the longest gives the colour, the worst outcome shows.
    let column = -1, family = "", longest = -1, worst = 0;
    const flush = () => { if (column >= 0) drawBar(number, column, 1, family, worst, false); column = -1; };
    for (let place = firstReaching(lane, view.from); place < lane.indices.length; place += 1) {
      const index = lane.indices[place], x = toX(operations.began[index]);
      if (x > shape.right) break;
      const width = toX(operations.ended[index]) - x, outcome = operations.outcome[index];
      if (width > 1.5) {
        flush();
        drawBar(number, x, Math.max(1.5, width - 0.5), familyColour(operations.action[index]), outcome, operations.own[index]);
        continue;
      }
      const pixel = Math.floor(x);
      if (pixel !== column) { flush(); column = pixel; longest = -1; worst = 0; }
      if (width > longest) { longest = width; family = familyColour(operations.action[index]); }
      worst = Math.max(worst, outcome);
    }
    flush();
  }

  function drawBins(cells, lane) {
    const names = Object.keys(run.familyWords), count = 600, width = run.seconds / count;
    for (const [bin, family, outcome] of cells) {
      const x = toX(bin * width);
      drawBar(lane, x, Math.max(1, toX((bin + 1) * width) - x), colours[names[family]], outcome, false);
    }
  }

  function drawOutline(index, lineWidth) {
    const x = toX(operations.began[index]), width = Math.max(2, toX(operations.ended[index]) - x);
    pen.strokeStyle = colours.text;
    pen.lineWidth = lineWidth;
    pen.strokeRect(x - 1, shape.top + operations.client[index] * shape.laneHeight + 1, width + 2, shape.laneHeight - 2);
  }

  function drawViolation(violation) {
    if (violation.at === null) return;
    const x = toX(violation.at), y = shape.top + (violation.lane ?? 0) * shape.laneHeight - 1;
    pen.beginPath();
    pen.moveTo(x - 5, y); pen.lineTo(x + 5, y); pen.lineTo(x, y + 8); pen.closePath();
    pen.fillStyle = colours.failed;
    pen.fill();
    pen.strokeStyle = colours.ground;
    pen.lineWidth = 1;
    pen.stroke();
  }

  function drawAxis() {
    const span = view.to - view.from;
    const room = Math.max(2, Math.floor((shape.right - shape.left) / 90));
    const step = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600,
      1800, 3600, 7200, 21600, 86400].find((length) => span / length <= room) || span / room;
    const digits = step >= 1 ? 0 : Math.min(4, Math.ceil(-Math.log10(step)));
    pen.fillStyle = colours.soft;
    pen.strokeStyle = colours.edge;
    pen.lineWidth = 1;
    pen.textAlign = "center";
    for (let at = Math.ceil(view.from / step) * step; at <= view.to + step / 1e6; at += step) {
      const x = toX(at);
      pen.beginPath(); pen.moveTo(x, shape.top); pen.lineTo(x, shape.bottom + 4); pen.stroke();
      const text = run.virtual ? virtualDate(at) : showMoment(at, digits), half = pen.measureText(text).width / 2;
      pen.fillText(text, Math.min(Math.max(x, half + 2), shape.width - half - 2), shape.bottom + 13);
    }
  }

  function setView(from, to) {
    const span = Math.min(run.seconds, Math.max(SPAN_SECONDS_MIN, to - from));
    view.from = Math.max(0, Math.min(from, run.seconds - span));
    view.to = view.from + span;
    shown.textContent = `${showTime(view.from)} to ${showTime(view.to)} of ${showMoment(run.seconds)}`;
    queueDraw();
    if (onlyShown.checked) filterList(true);
  }
  const zoom = (factor, at = (view.from + view.to) / 2) =>
    setView(at - (at - view.from) * factor, at + (view.to - at) * factor);
  const pan = (share) => { const by = (view.to - view.from) * share; setView(view.from + by, view.to + by); };

  function operationAt(x, y) {
    const number = Math.floor((y - shape.top) / shape.laneHeight);
    if (!operations || x < shape.left || !lanes[number]) return -1;
    const lane = lanes[number], reachSeconds = (view.to - view.from) / (shape.right - shape.left) * 3;
    const at = toSeconds(x);
    let best = -1, bestDistance = Infinity;
    for (let place = firstReaching(lane, at - reachSeconds); place < lane.indices.length; place += 1) {
      const index = lane.indices[place];
      if (operations.began[index] > at + reachSeconds) break;
      const distance = Math.max(0, operations.began[index] - at, at - operations.ended[index])
        - (mark[run.outcomes[operations.outcome[index]]] ? reachSeconds : 0);
      if (distance <= bestDistance && operations.ended[index] >= at - reachSeconds) { best = index; bestDistance = distance; }
    }
    return best;
  }

  const words = (index) => {
    const outcome = outcomeWord(run.outcomes[operations.outcome[index]]);
    const took = operations.took[index] < 0 ? "" : `, ${showSeconds(operations.took[index] / PER_SECOND)}`;
    return `${run.actions[operations.action[index]]}: ${outcome}${took}`;
  };

  function hover(x, y) {
    const index = operationAt(x, y);
    const fault = y < shape.top ? run.faults.find((one) => toX(one.began) - 2 <= x && x <= toX(one.ended) + 2) : null;
    hovered = index;
    tip.hidden = index < 0 && !fault;
    if (!tip.hidden) {
      tip.textContent = index >= 0
        ? `${words(index)}\n${clientName(operations.client[index])} at ${showTime(operations.began[index])}`
        : `fault ${fault.key}: ${fault.outcome}\n${showTime(fault.began)} to ${showTime(fault.ended)}`;
      tip.style.left = `${Math.max(2, Math.min(x + 12, shape.width - tip.offsetWidth - 2))}px`;
      tip.style.top = `${Math.min(y + 14, shape.height - tip.offsetHeight - 2)}px`;
    }
    queueDraw();
  }

  // Fingers and the mouse. One finger or the mouse moves, two fingers zoom; a press that does not move chooses.
  const pointers = new Map();
  let movedBy = 0;
  box.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, event.offsetX);
    movedBy = 0;
    box.classList.add("is-held");
  });
  box.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (before === undefined) { hover(event.offsetX, event.offsetY); return; }
    const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, x]) => x);
    if (others.length) {
      const factor = Math.abs(others[0] - before) / Math.max(10, Math.abs(others[0] - event.offsetX));
      zoom(Math.min(2, Math.max(0.5, factor)), toSeconds((others[0] + event.offsetX) / 2));
    } else {
      pan((before - event.offsetX) / (shape.right - shape.left));
    }
    movedBy += Math.abs(event.offsetX - before);
    if (movedBy > 4 && !box.hasPointerCapture(event.pointerId)) box.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event.offsetX);
  });
  const release = (event) => { pointers.delete(event.pointerId); box.classList.remove("is-held"); };
  box.addEventListener("pointerup", (event) => {
    if (pointers.has(event.pointerId) && movedBy <= 4) {
      const index = operationAt(event.offsetX, event.offsetY);
      if (index >= 0) choose(index);
    }
    release(event);
  });
  box.addEventListener("pointercancel", release);
  box.addEventListener("pointerleave", () => { hovered = -1; tip.hidden = true; queueDraw(); });
  box.addEventListener("dblclick", (event) => zoom(0.4, toSeconds(event.offsetX)));
  box.addEventListener("wheel", (event) => {
    // The page scrolls as it always does; with a key, or once the timeline has been entered, the wheel zooms.
    if (!(event.ctrlKey || event.metaKey || event.shiftKey || document.activeElement === box)) return;
    event.preventDefault();
    zoom(Math.exp(Math.max(-100, Math.min(100, event.deltaY || event.deltaX)) * 0.004), toSeconds(event.offsetX));
  }, { passive: false });

  function step(by) {
    if (!operations || !lanes[currentLane]) return;
    const lane = lanes[currentLane].indices;
    const place = chosen >= 0 && operations.client[chosen] === currentLane
      ? lane.indexOf(chosen) + by : firstReaching(lanes[currentLane], view.from);
    if (lane[place] !== undefined) choose(lane[place]);
  }
  const keys = {
    ArrowLeft: () => pan(-0.2), ArrowRight: () => pan(0.2), Home: () => setView(0, view.to - view.from),
    End: () => setView(run.seconds - (view.to - view.from), run.seconds),
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), "0": () => setView(0, run.seconds),
    ArrowUp: () => chooseLane(-1), ArrowDown: () => chooseLane(1), n: () => step(1), p: () => step(-1),
    Enter: () => { if (chosen < 0) step(1); byId("chosen").focus(); },
  };
  function chooseLane(by) {
    currentLane = Math.max(0, Math.min(run.clients.length - 1, currentLane + by));
    shown.textContent = `client ${run.clients[currentLane] ?? ""}`;
    queueDraw();
  }
  box.addEventListener("keydown", (event) => {
    const act = event.ctrlKey || event.metaKey || event.altKey ? null : keys[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  for (const [id, act] of [["zoom-in", keys["+"]], ["zoom-out", keys["-"]], ["earlier", keys.ArrowLeft],
    ["later", keys.ArrowRight], ["whole", keys["0"]]]) byId(id).addEventListener("click", act);

  // The operation that was chosen.
  function choose(index) {
    chosen = index;
    currentLane = operations.client[index];
    const began = operations.began[index], ended = operations.ended[index], span = view.to - view.from;
    if (ended < view.from || began > view.to) setView(began - span / 2, began + span / 2); else queueDraw();
    showChosen(index);
  }

  let chosenShown = -1, rowsOfChosen = "", hasCommands = false;
  function showChosen(index) {
    const panel = byId("chosen"), list = panel.querySelector("dl"), began = operations.began[index];
    setText(panel.querySelector("h3"), words(index));
    const rows = [["operation", operations.id[index]], ["client", run.clients[operations.client[index]]],
      ["began", showTime(began, 3)], ["asked for by", operations.own[index] ? "snapstorm itself" : "the client's steps"]];
    if (chosenShown !== index || panel.hidden) {
      fill(list, rows);
      panel.querySelector("pre").hidden = true;
      panel.hidden = hasCommands = false;
      chosenShown = index;
    }
    details(index).then((found) => { if (chosen === index) showDetails(panel, list, rows, found); },
      (error) => { if (chosen === index) fill(list, [...rows, ["all else", error.message]]); });
  }

  // What still says the same is left alone, and with it what is selected there.
  function setText(element, text) { if (element.textContent !== text) element.textContent = text; }
  function fill(list, rows) {
    if (rowsOfChosen === JSON.stringify(rows)) return;
    rowsOfChosen = JSON.stringify(rows);
    list.replaceChildren(...rows.filter(([, value]) => value !== "").flatMap(([name, value]) =>
      [make("dt", name), make("dd", String(value))]));
  }

  function showDetails(panel, list, rows, [number, reason, options, resolved, commands, count]) {
    fill(list, [...rows, ["step", number], ["reason", reason], ["options", options], ["choices", resolved],
      ["commands", count && !commands.length ? `${count}, which stand in the ledger` : ""]]);
    const pre = panel.querySelector("pre");
    hasCommands = count > 0;
    pre.hidden = !commands.length;
    setText(pre, commands.map(([line, seconds, status, isLate]) =>
      `$ ${line}\n${isLate ? "timed out" : `exit status ${status ?? "none"}`} after ${showSeconds(seconds)}`).join("\n\n")
      + (count > commands.length && commands.length ? `\n\nand ${count - commands.length} more` : ""));
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-operation]");
    if (!button || !operations) return;
    const index = operations.id.indexOf(button.dataset.operation);
    if (index < 0) { shown.textContent = "this operation is not in the ledger any more"; return; }
    const span = Math.min(view.to - view.from, Math.max(1, run.seconds / 20));
    setView(operations.began[index] - span / 2, operations.began[index] + span / 2);
    choose(index);
    byId("timeline").scrollIntoView();
    byId("chosen").focus({ preventScroll: true });
  });

  // The list of operations.
  const body = byId("operation-rows"), onlyShown = byId("only-shown"), filters = ["by-client", "by-action", "by-outcome"].map(byId);
  let found = [], page = 0;
  function addOptions() {
    const names = [run.clients, run.actions, run.outcomes.map(outcomeWord)];
    filters.forEach((select, number) => {
      names[number].forEach((name, value) => {
        const option = select.options[value + 1] ?? select.appendChild(make("option"));  // The first stands for all.
        if (option.textContent !== name) option.textContent = name;
        option.value = value;
      });
    });
  }
  function filterList(isSamePage = false) {
    if (!operations) return;
    const [client, action, outcome] = filters.map((select) => (select.value === "" ? -1 : Number(select.value)));
    found = [];
    for (let index = 0; index < operations.count; index += 1) {
      if ((client < 0 || operations.client[index] === client) && (action < 0 || operations.action[index] === action)
        && (outcome < 0 || operations.outcome[index] === outcome)
        && (!onlyShown.checked || (operations.ended[index] >= view.from && operations.began[index] <= view.to))) found.push(index);
    }
    page = isSamePage ? Math.min(page, Math.max(0, Math.ceil(found.length / ROWS_PER_PAGE) - 1)) : 0;
    showPage();
  }
  function showPage() {
    const pages = Math.max(1, Math.ceil(found.length / ROWS_PER_PAGE));
    const first = page * ROWS_PER_PAGE, rows = found.slice(first, first + ROWS_PER_PAGE);
    showRows(rows);
    byId("page-words").textContent = found.length
      ? `${(first + 1).toLocaleString("en")} to ${(first + rows.length).toLocaleString("en")} of ${found.length.toLocaleString("en")}`
      : "none";
    byId("page-before").disabled = page === 0;
    byId("page-after").disabled = page >= pages - 1;
  }
  // A row that still says the same stays, and with it the focus: on a live page the list is shown again and again.
  let rowsShown = new Map();
  function showRows(indices) {
    const focused = body.contains(document.activeElement) ? document.activeElement.dataset.index : undefined;
    const before = rowsShown;
    const keys = indices.map((index) => `${index} ${operations.id[index]} ${operations.outcome[index]} ${isGoingOn}`);
    rowsShown = new Map(keys.map((key, place) => [key, before.get(key) ?? row(indices[place])]));
    const rows = [...rowsShown.values()];
    if (rows.length === body.children.length && rows.every((line, place) => line === body.children[place])) return;
    body.replaceChildren(...rows);
    if (focused !== undefined) body.querySelector(`button[data-index="${focused}"]`)?.focus({ preventScroll: true });
  }
  function row(index) {
    const line = make("tr"), cell = make("td"), button = make("button", run.actions[operations.action[index]], "link");
    button.type = "button";
    button.dataset.index = index;
    button.addEventListener("click", () => {
      choose(index);
      byId("timeline").scrollIntoView();
      byId("chosen").focus({ preventScroll: true });
    });
    cell.append(button);
    const outcome = run.outcomes[operations.outcome[index]];
    const style = { failed: "bad", unknown: "doubtful", open: isGoingOn ? "soft" : "doubtful" }[outcome] || "";
    line.append(make("td", showMoment(operations.began[index]), "number"), make("td", clientName(operations.client[index])), cell,
      make("td", outcomeWord(outcome), style),
      make("td", operations.took[index] < 0 ? "" : showSeconds(operations.took[index] / PER_SECOND), "number"));
    return line;
  }
  for (const element of [...filters, onlyShown]) element.addEventListener("change", () => filterList());
  byId("page-before").addEventListener("click", () => { page -= 1; showPage(); });
  byId("page-after").addEventListener("click", () => { page += 1; showPage(); });

  // A violation that a link points at is opened.
  function openTarget() {
    const target = location.hash.length > 1 && byId(location.hash.slice(1));
    if (target instanceof HTMLDetailsElement) { target.open = true; target.querySelector("summary").focus(); }
  }
  window.addEventListener("hashchange", openTarget);

  // For the live page: takes what is new, which may be another run. Who looks at all of the run, or at its end, goes on doing so.
  function update(overview, first, columns, isStillGoingOn) {
    if (overview.run !== run.run) forget(overview);
    const wasOpen = chosen >= 0 && isOpen(chosen);
    const before = run, span = view.to - view.from;
    const isAll = view.from <= 0 && view.to >= before.seconds, isEnd = view.to >= before.seconds;
    const isSameShape = overview.clients.length === before.clients.length && !overview.faults.length === !before.faults.length;
    run = overview;
    isGoingOn = isStillGoingOn;
    keepQuiet();
    takeOperations(first, columns);
    if (!isSameShape) measure();
    addOptions();
    if (isAll) setView(0, run.seconds); else if (isEnd) setView(run.seconds - span, run.seconds); else setView(view.from, view.to);
    if (!onlyShown.checked) filterList(true);
    // An operation's commands come into the ledger some time after its end.
    if (chosen >= 0 && (wasOpen || !hasCommands)) showChosen(chosen);
  }
  // What was chosen of a run says nothing of the next one.
  function forget(overview) {
    chosen = hovered = -1;
    currentLane = 0;
    if (byId("chosen").contains(document.activeElement)) box.focus({ preventScroll: true });
    byId("chosen").hidden = tip.hidden = true;
    filters.forEach((select) => { select.length = 1; });
    Object.assign(view, { from: 0, to: run.seconds });
    operations = null;
    run = { ...run, clients: [], faults: [], run: overview.run };
  }
  const isOpen = (index) => run.outcomes[operations.outcome[index]] === "open";
  // Who only listens is told what they moved themselves, not every two seconds how long the run is by now.
  const spoken = [shown, byId("page-words")];
  const keepQuiet = () => spoken.forEach((output) => output.setAttribute("aria-live", "off"));
  const speak = () => spoken.forEach((output) => output.removeAttribute("aria-live"));
  // Whether numbers of clients and actions mean the same in another overview.
  const isExtendedBy = (overview) => ["clients", "actions"].every((name) =>
    run[name].every((word, number) => overview[name][number] === word));
  function startLive(ask, isStillGoingOn) {
    askDetails = ask;
    isGoingOn = isStillGoingOn;
    addOptions();
    if (operations) filterList(true);
    for (const kind of ["keydown", "click", "change"]) document.addEventListener(kind, speak, { capture: true });
  }
  window.snapstormPage = {
    update, isExtendedBy, startLive, isReady: () => operations !== null, run: () => run.run, settled: () => run.settled,
  };

  readColours();
  measure();
  addOptions();
  setView(0, run.seconds);
  openTarget();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); queueDraw(); });
  new ResizeObserver(() => { if (box.clientWidth !== shape.width) { measure(); queueDraw(); } }).observe(box);
  readOperations().then(() => {
    queueDraw();
    filterList();
    document.documentElement.dataset.ready = "yes";
  }, (error) => { shown.textContent = `the operations can't be shown: ${error.message}`; });
})();
