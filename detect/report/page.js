
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const by = (id) => document.getElementById(id);
  const levels = data.thresholds;
  const layers = { map: true, mask: true, boxes: true, truth: true };
  const hasTruth = data.scores !== null;
  const colours = { found: "#00c8ff", fill: "rgba(0, 200, 255, 0.28)", box: "#ffd200", truth: "#ff5ad1", dark: "rgba(0, 0, 0, 0.45)" };
  let level = data.chosen;

  function make(tag, options = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(options)) {
      if (name === "text") element.textContent = value;
      else if (name === "class") element.className = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }
  const short = (value) => String(Number(value.toPrecision(4)));
  const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
  const objectsIn = (item) => item.boxes[level].length / 5;

  // ---------------------------------------------------------------- the parts above the pictures

  function fillText() {
    const own = data.cards.reduce((sum, item) => sum + item.boxes[data.chosen].length / 5, 0);
    by("lead").textContent = `${counted(own, "object")} in ${counted(data.cards.length, "picture")} at the run’s own threshold.`;
    for (const [name, value] of data.summary) {
      by("summary-list").append(make("div", {}, make("dt", { text: name }), make("dd", { text: value })));
    }
    if (data.warnings.length) {
      by("warnings").hidden = false;
      const lines = data.warnings.map((line) => make("li", { text: line }));
      by("warnings").append(make("strong", { text: "Warnings" }), make("ul", {}, ...lines));
    }
    if (data.validation.length) {
      by("validation").hidden = false;
      addRows(by("validation").querySelector("tbody"), data.validation, ["", "number", "long"]);
    }
    if (hasTruth) {
      const scores = data.scores;
      by("scores").hidden = false;
      const left = scores.without_truth ? ` ${counted(scores.without_truth, "picture")} without truth are left out.` : "";
      const boxes = scores.boxes ? " The truth has boxes alone, so pixels are compared with filled boxes." : "";
      by("scores-lead").textContent = `At the run’s own threshold: ${counted(scores.found, "object")} found and ` +
        `${scores.true} true, in ${counted(scores.pictures, "picture")}.${left}${boxes}`;
      for (const [, name, value, interval, text] of scores.rows.filter((row) => scores.first.includes(row[1]))) {
        const shown = make("dd", { text: value }, interval ? make("small", { text: ` ${interval}` }) : "");
        by("scores-list").append(make("div", { title: text }, make("dt", { text: name }), shown));
      }
      let family = "";
      const rows = scores.rows.map((row) => {
        const shown = [row[0] === family ? "" : row[0], ...row.slice(1)];
        family = row[0];
        return shown;
      });
      addRows(by("scores").querySelector("tbody"), rows, ["", "", "number", "number", "long"]);
    }
    if (hasTruth && data.scores.risk && data.scores.risk.coverage.length > 1) {
      const { coverage, dice } = data.scores.risk;
      by("risk").append(chart(coverage, dice, { name: "Dice of the surest pictures", note: "over the fraction kept", x: "fraction kept, the surest first", width: 560, height: 200 }));
    }
    addRows(by("settings").querySelector("tbody"), data.settings, ["", ""]);
    if (!data.settings.length) by("settings").append(make("p", { text: "The run has no config.yaml." }));
    for (const [name, text] of data.glossary) {
      by("glossary").querySelector("dl").append(make("div", {}, make("dt", { text: name }), make("dd", { text })));
    }
    for (const curve of data.curves) {
      const last = curve.values[curve.values.length - 1];
      by("curves").append(chart(curve.steps, curve.values, { name: curve.name, note: `last ${short(last)}`, x: "step" }));
    }
    if (!data.curves.length) by("curves").append(make("p", { text: "The run has no metrics.jsonl." }));
    const largest = Math.max(...data.cards.map((card) => card.factor));
    const reduced = largest > 1
      ? ` Pictures with more than 256 pixels a side are shown reduced, by up to ${largest}; masks and maps keep the ` +
        "greatest value of each block, so they look up to a block wider. Boxes and counts are those of the full picture."
      : "";
    by("fine-print").textContent = "Masks, boxes and counts are those of detect extract at each threshold that the slider " +
      `stops at. The map is drawn as m / (m + t) in 256 steps, t being the run’s own threshold.${reduced}`;
    if (!hasTruth) for (const element of document.querySelectorAll("[data-part=truth], [data-part=scores]")) element.remove();
    by("command-line").hidden = !data.command;
    if (!data.command) by("command-line").remove();
  }

  function addRows(body, rows, kinds) {
    for (const row of rows) {
      const cells = row.map((text, index) => make("td", { text, class: kinds[index] }));
      body.append(make("tr", {}, ...cells));
    }
  }

  const SVG = "http://www.w3.org/2000/svg";
  function draw(tag, attributes, text) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  }

  // A line in a frame; with log: both axes logarithmic. The figure has a method `mark(x)`.
  function chart(xs, ys, { name, note, x, log = false, width = 300, height = 130 }) {
    const left = 44, right = 8, top = 8, bottom = 24;
    const scale = log ? Math.log10 : (value) => value;
    const ends = (values) => {
      const low = Math.min(...values), high = Math.max(...values);
      return high > low ? [low, high] : [low - 0.5, high + 0.5];
    };
    const [x0, x1] = ends(xs.map(scale)), [y0, y1] = ends(ys.map(scale));
    const across = (value) => left + (scale(value) - x0) / (x1 - x0) * (width - left - right);
    const up = (value) => height - bottom - (scale(value) - y0) / (y1 - y0) * (height - top - bottom);
    const label = `${name}: ${note}; from ${short(ys[0])} to ${short(ys[ys.length - 1])}`;
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    svg.append(draw("path", { class: "axis", d: `M${left} ${top}V${height - bottom}H${width - right}` }));
    const path = xs.map((value, index) => `${index ? "L" : "M"}${across(value).toFixed(1)} ${up(ys[index]).toFixed(1)}`).join("");
    svg.append(draw("path", { class: "curve", d: path }));
    const low = Math.min(...ys), high = Math.max(...ys);
    svg.append(draw("text", { x: left - 4, y: top + 8, "text-anchor": "end" }, short2(high)));
    if (high > low) svg.append(draw("text", { x: left - 4, y: height - bottom, "text-anchor": "end" }, short2(low)));
    svg.append(draw("text", { x: left, y: height - 8 }, short2(Math.min(...xs))));
    svg.append(draw("text", { x: width - right, y: height - 8, "text-anchor": "end" }, short2(Math.max(...xs))));
    svg.append(draw("text", { x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle" }, x));
    const figure = make("figure", {}, make("figcaption", {}, make("b", { text: name }), make("span", { text: note })), svg);
    const line = draw("line", { class: "mark", y1: top, y2: height - bottom });
    figure.mark = (value) => {
      const place = Math.min(width - right, Math.max(left, across(value)));
      line.setAttribute("x1", place);
      line.setAttribute("x2", place);
      svg.append(line);
    };
    return figure;
  }
  const short2 = (value) => {
    const size = Math.abs(value);
    return size !== 0 && (size < 0.001 || size >= 100000) ? value.toExponential(0) : String(Number(value.toPrecision(3)));
  };

  let calibrationChart = null;
  function calibrate() {
    const { rates, thresholds, unit, pictures } = data.calibration;
    const pairs = rates.map((rate, index) => [thresholds[index], rate]).filter(([threshold, rate]) => threshold > 0 && rate > 0);
    pairs.sort((a, b) => a[0] - b[0]);
    by("calibration-lead").textContent = pairs.length > 1
      ? `False alarms (${unit}) over the threshold, on ${counted(pictures, "picture")} WITHOUT. The broken line is where the slider is.`
      : "The run holds no table of false alarms. detect calibrate makes one from pictures that hold nothing.";
    if (pairs.length > 1) {
      calibrationChart = chart(pairs.map((pair) => pair[0]), pairs.map((pair) => pair[1]), { name: "false alarms", note: unit, x: "threshold", log: true, width: 560, height: 200 });
      by("calibration-chart").append(calibrationChart);
      data.calibration.pairs = pairs;
    }
  }
  // Linear in the logarithm of the rate, as DetectionSettings.threshold_at has it; null beyond the table.
  function falseAlarms(threshold) {
    const pairs = data.calibration.pairs;
    if (!pairs || threshold < pairs[0][0] || threshold > pairs[pairs.length - 1][0]) return null;
    const after = pairs.findIndex((pair) => pair[0] >= threshold);
    if (after === 0) return pairs[0][1];
    const [x0, y0] = pairs[after - 1], [x1, y1] = pairs[after];
    return x1 === x0 ? y1 : Math.exp(Math.log(y0) + (threshold - x0) / (x1 - x0) * (Math.log(y1) - Math.log(y0)));
  }

  // ---------------------------------------------------------------- pictures

  // Colours of the map by its 256 values: clear at 0, dark red, orange, light yellow; half way is the run's threshold.
  const heat = new Uint8ClampedArray(256 * 4);
  for (let value = 0; value < 256; value++) {
    const s = value / 255;
    const stops = [[140, 29, 64], [242, 107, 29], [255, 226, 122]];
    const place = Math.min(1.999, s * 2), first = stops[Math.floor(place)], second = stops[Math.floor(place) + 1] || first;
    for (let band = 0; band < 3; band++) heat[4 * value + band] = first[band] + (second[band] - first[band]) * (place % 1);
    heat[4 * value + 3] = 255 * Math.min(0.7, Math.max(0, (s - 0.12) * 1.1));
  }

  async function load(address) {
    const image = new Image();
    image.src = address;
    await image.decode();
    return image;
  }
  function pixelsOf(image) {
    const canvas = make("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return [canvas, context, context.getImageData(0, 0, canvas.width, canvas.height)];
  }
  async function decode(item) {
    const [picture, map, masks] = await Promise.all([load(item.picture), load(item.map), load(item.masks)]);
    const [canvas, context, pixels] = pixelsOf(map);
    for (let at = 0; at < pixels.data.length; at += 4) {
      const colour = 4 * pixels.data[at];
      for (let band = 0; band < 4; band++) pixels.data[at + band] = heat[colour + band];
    }
    context.putImageData(pixels, 0, 0);
    const rgb = pixelsOf(masks)[2].data;
    const bits = new Uint32Array(rgb.length / 4);
    for (let at = 0; at < bits.length; at++) bits[at] = rgb[4 * at] | rgb[4 * at + 1] << 8 | rgb[4 * at + 2] << 16;
    return { picture, heat: canvas, bits, width: masks.naturalWidth, height: masks.naturalHeight };
  }

  function paint(canvas, parts, item, cssWidth) {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(cssWidth * ratio));
    const height = Math.max(1, Math.round(width * parts.height / parts.width));
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(parts.picture, 0, 0, width, height);
    if (layers.map) context.drawImage(parts.heat, 0, 0, width, height);
    const cell = width / parts.width, full = cell / item.factor;
    // Without the map the masks are filled, too; with it, its colours stay as they are.
    if (layers.mask) paintMask(context, parts, cell, ratio, !layers.map);
    if (layers.truth && item.truth) {
      stroke(context, rings(item.truth, full), colours.truth, 1.5 * ratio, [4 * ratio, 3 * ratio]);
    }
    if (layers.boxes) {
      const boxes = new Path2D(), found = item.boxes[level], space = 2 * ratio;
      for (let at = 0; at < found.length; at += 5) {
        const [left, top, columns, rows] = found.slice(at, at + 4).map((value) => value * full);
        boxes.rect(left - space, top - space, columns + 2 * space, rows + 2 * space);
      }
      stroke(context, boxes, colours.box, 1.2 * ratio, []);
    }
  }
  function paintMask(context, { bits, width, height }, cell, ratio, filled) {
    const bit = 1 << level, has = (x, y) => x >= 0 && y >= 0 && x < width && y < height && (bits[y * width + x] & bit) !== 0;
    const edges = new Path2D();
    context.fillStyle = colours.fill;
    for (let y = 0; y < height; y++) {
      let start = -1;
      for (let x = 0; x <= width; x++) {
        const inside = x < width && (bits[y * width + x] & bit) !== 0;
        if (inside && start < 0) start = x;
        if (!inside && start >= 0) {
          if (filled) context.fillRect(start * cell, y * cell, (x - start) * cell, cell);
          start = -1;
        }
        if (!inside) continue;
        const x0 = x * cell, y0 = y * cell, x1 = x0 + cell, y1 = y0 + cell;
        if (!has(x, y - 1)) { edges.moveTo(x0, y0); edges.lineTo(x1, y0); }
        if (!has(x, y + 1)) { edges.moveTo(x0, y1); edges.lineTo(x1, y1); }
        if (!has(x - 1, y)) { edges.moveTo(x0, y0); edges.lineTo(x0, y1); }
        if (!has(x + 1, y)) { edges.moveTo(x1, y0); edges.lineTo(x1, y1); }
      }
    }
    stroke(context, edges, colours.found, 1.4 * ratio, []);
  }
  function rings(numbers, scale) {
    const path = new Path2D();
    for (const ring of numbers) {
      for (let at = 0; at < ring.length; at += 2) {
        if (at) path.lineTo(ring[at] * scale, ring[at + 1] * scale);
        else path.moveTo(ring[at] * scale, ring[at + 1] * scale);
      }
      path.closePath();
    }
    return path;
  }
  // A dark line below, so that colours are seen on bright pictures too.
  function stroke(context, path, colour, width, dashes) {
    context.lineCap = "square";
    context.setLineDash([]);
    context.strokeStyle = colours.dark;
    context.lineWidth = width + 1;
    context.stroke(path);
    context.lineCap = dashes.length ? "butt" : "square";
    context.setLineDash(dashes);
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke(path);
  }

  const order = [...data.cards].sort((a, b) => a.confidence - b.confidence);
  const doubtful = new Set(order.slice(0, Math.ceil(order.length / 4)));

  const cards = data.cards.map((item, index) => {
    const canvas = make("canvas", { role: "img", width: 0, height: 0 });
    canvas.style.aspectRatio = `${item.width} / ${item.height}`;
    const facts = make("span", { class: "facts-line" });
    // Names often differ at their ends alone, so a long one is shortened before its last letters.
    const cut = Math.max(0, item.name.length - 12);
    const name = make("span", { class: "name", title: item.name }, make("span", { text: item.name.slice(0, cut) }), make("span", { text: item.name.slice(cut) }));
    const text = make("span", { class: "text" }, ...(doubtful.has(item) ? [make("span", { class: "badge", text: "doubtful" })] : []), name, facts);
    const button = make("button", { type: "button", class: "card" }, canvas, text);
    const element = make("li", {}, button);
    const card = { item, index, element, button, canvas, facts, near: false, parts: null };
    element.card = card;
    button.addEventListener("click", () => openLarge(card));
    return card;
  });

  function describe(item) {
    const found = counted(objectsIn(item), "object");
    const truth = item.truth === null ? "" : `, ${item.true_objects} true`;
    return [found + truth, `score ${item.score.toFixed(2)}, confidence ${item.confidence.toFixed(2)}${diceText(item)}`];
  }
  function dice(item) {
    const sum = item.pixels[level] + item.true_pixels;
    return item.truth === null || sum === 0 ? null : 2 * item.common[level] / sum;
  }
  const diceText = (item) => dice(item) === null ? "" : `, Dice ${dice(item).toFixed(2)}`;

  function write(card) {
    const [first, second] = describe(card.item);
    card.facts.replaceChildren(make("b", { text: first }), make("br"), second);
    card.canvas.setAttribute("aria-label", `${card.item.name}: ${first}`);
  }
  async function show(card) {
    write(card);
    if (!card.parts) card.parts = decode(card.item);
    const parts = await card.parts;
    if (card.near) paint(card.canvas, parts, card.item, card.canvas.clientWidth || 224);
  }
  function release(card) {
    card.parts = null;
    card.canvas.width = card.canvas.height = 0;
  }
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const card = entry.target.card;
      card.near = entry.isIntersecting;
      if (card.near) show(card);
      else release(card);
    }
  }, { rootMargin: "400px" });

  // ---------------------------------------------------------------- slider, order, filters

  let waiting = false;
  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      for (const card of cards) if (card.near) show(card);
      if (by("large").open) showLarge();
    });
  }

  function setLevel(wanted) {
    level = Math.min(levels.length - 1, Math.max(0, wanted));
    const threshold = levels[level], own = level === data.chosen;
    by("threshold").value = level;
    by("threshold").setAttribute("aria-valuetext", `${short(threshold)}${own ? ", the run’s own" : ""}`);
    by("value").textContent = short(threshold);
    by("reset").disabled = own;
    if (by("command")) by("command").textContent = `${data.command} --threshold ${threshold}`;
    const counts = cards.map((card) => objectsIn(card.item));
    const objects = counts.reduce((sum, count) => sum + count, 0);
    const parts = [make("b", { id: "objects", text: String(objects) }), ` ${objects === 1 ? "object" : "objects"} in `,
      make("b", { id: "holding", text: String(counts.filter((count) => count > 0).length) }), ` of ${counted(cards.length, "picture")}`];
    const rate = falseAlarms(threshold);
    if (rate !== null) {
      const pixels = data.calibration.unit === "of the pixels";
      parts.push(`; false alarms: ${pixels ? `${Number((100 * rate).toPrecision(2))} %` : Number(rate.toPrecision(2))} ${data.calibration.unit}`);
    }
    const known = data.cards.filter((item) => item.truth !== null);
    const sum = known.reduce((total, item) => total + item.pixels[level] + item.true_pixels, 0);
    if (sum > 0) parts.push(`; Dice ${(2 * known.reduce((total, item) => total + item.common[level], 0) / sum).toFixed(3)}`);
    by("counts").replaceChildren(...parts);
    if (calibrationChart) calibrationChart.mark(threshold);
    redraw();
  }

  const orders = {
    given: (a, b) => a.index - b.index,
    confidence: (a, b) => a.item.confidence - b.item.confidence,
    highest: (a, b) => b.item.score - a.item.score,
    lowest: (a, b) => a.item.score - b.item.score,
    objects: (a, b) => objectsIn(b.item) - objectsIn(a.item),
    dice: (a, b) => (dice(a.item) ?? 2) - (dice(b.item) ?? 2),
  };
  const filters = {
    all: () => true,
    doubtful: (item) => doubtful.has(item),
    found: (item) => objectsIn(item) > 0,
    empty: (item) => objectsIn(item) === 0,
    missed: (item) => item.true_objects > 0 && objectsIn(item) === 0,
    false: (item) => item.truth !== null && item.true_objects === 0 && objectsIn(item) > 0,
  };
  let shown = cards;
  function arrange() {
    const part = by("search").value.trim().toLowerCase(), fits = filters[by("only").value];
    const sorted = [...cards].sort((a, b) => orders[by("sort").value](a, b) || a.index - b.index);
    shown = sorted.filter(({ item }) => fits(item) && item.name.toLowerCase().includes(part));
    const visible = new Set(shown);
    for (const card of cards) card.element.hidden = !visible.has(card);
    for (const card of cards) write(card);
    by("cards").replaceChildren(...sorted.map((card) => card.element));
    by("shown").textContent = shown.length === cards.length ? `All ${cards.length} pictures are shown.` : `${shown.length} of ${cards.length} pictures are shown.`;
  }

  // ---------------------------------------------------------------- one picture, large

  let large = null;
  function openLarge(card) {
    large = card;
    if (!by("large").open) by("large").showModal();
    showLarge();
  }
  async function showLarge() {
    const card = large, item = card.item;
    by("large-name").textContent = item.name;
    by("large-facts").textContent = `${describe(item).join("; ")}; ${item.width} x ${item.height} pixels; threshold ${short(levels[level])}`;
    const found = item.boxes[level], rows = [];
    for (let at = 0; at < found.length; at += 5) {
      const [left, top, columns, high, score] = found.slice(at, at + 5);
      rows.push([at / 5 + 1, (score / 1000).toFixed(3), left, top, columns, high].map(String));
    }
    by("large-objects").hidden = rows.length === 0;
    by("large-objects").tBodies[0].replaceChildren();
    addRows(by("large-objects").tBodies[0], rows, ["", ...Array(5).fill("number")]);
    const parts = await (card.parts || decode(item));
    if (card !== large || !by("large").open) return;
    const room = Math.min(by("large").clientWidth - 32, Math.max(160, (window.innerHeight - 220) * parts.width / parts.height));
    by("large-canvas").style.width = `${room}px`;
    by("large-canvas").setAttribute("aria-label", `${item.name}: ${describe(item)[0]}`);
    paint(by("large-canvas"), parts, item, room);
  }
  function step(offset) {
    const place = shown.indexOf(large) + offset;
    if (place >= 0 && place < shown.length) openLarge(shown[place]);
  }

  // ---------------------------------------------------------------- keys

  function moveFocus(event) {
    const place = shown.findIndex((card) => card.button === document.activeElement);
    if (place < 0) return false;
    const top = shown[0].element.offsetTop;
    let columns = shown.findIndex((card) => card.element.offsetTop !== top);
    if (columns < 0) columns = shown.length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -place, End: shown.length - 1 - place };
    if (!(event.key in steps)) return false;
    const target = shown[place + steps[event.key]];
    if (target) target.button.focus();
    return true;
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("select, input:not([type=checkbox]):not([type=range])")) return;
    const boxes = [...document.querySelectorAll("[data-layer]")];
    let done = true;
    if (event.key === "[") changeLevel(level - 1);
    else if (event.key === "]") changeLevel(level + 1);
    else if (/^[1-4]$/.test(event.key) && boxes[event.key - 1]) boxes[event.key - 1].click();
    else if (by("large").open && event.key === "ArrowLeft") step(-1);
    else if (by("large").open && event.key === "ArrowRight") step(1);
    else done = moveFocus(event);
    if (done) event.preventDefault();
  });
  function changeLevel(wanted) {
    setLevel(wanted);
    arrange();
  }

  fillText();
  calibrate();
  by("threshold").max = levels.length - 1;
  by("own").append(make("option", { value: data.chosen }));
  by("threshold").addEventListener("input", () => setLevel(Number(by("threshold").value)));
  by("threshold").addEventListener("change", arrange);
  by("reset").addEventListener("click", () => changeLevel(data.chosen));
  for (const box of document.querySelectorAll("[data-layer]")) {
    box.addEventListener("change", () => { layers[box.dataset.layer] = box.checked; redraw(); });
  }
  for (const id of ["sort", "only"]) by(id).addEventListener("change", arrange);
  by("search").addEventListener("input", arrange);
  if (by("copy")) by("copy").addEventListener("click", async () => {
    const range = document.createRange();
    range.selectNodeContents(by("command"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    try {
      await navigator.clipboard.writeText(by("command").textContent);
      by("copy").textContent = "Copied";
      setTimeout(() => { by("copy").textContent = "Copy"; }, 1500);
    } catch {
      by("copy").textContent = "Press Ctrl-C";
    }
  });
  by("close").addEventListener("click", () => by("large").close());
  by("previous").addEventListener("click", () => step(-1));
  by("next").addEventListener("click", () => step(1));
  by("large").addEventListener("close", () => { if (large) large.button.focus(); });
  for (const link of document.querySelectorAll("nav a")) {
    link.addEventListener("click", () => {
      const part = document.querySelector(link.getAttribute("href"));
      if (part && part.tagName === "DETAILS") part.open = true;
    });
  }
  addEventListener("resize", redraw);
  arrange();
  setLevel(data.chosen);
  for (const card of cards) watcher.observe(card.element);
})();
