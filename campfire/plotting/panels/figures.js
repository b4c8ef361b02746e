"use strict";
// Figures of spectra on canvases: image above flux above residuals, all with one wavelength axis.
// Wavelengths are in microns, fluxes in microjansky. A pixel that is not to be used is NaN, and stays a gap.

const MASKED = -128, SNR_STEP = 0.1;
const FONT = "system-ui, sans-serif", NAME_HEIGHT = 14;
// Which names are written first where there is no room for all.
const STRONG = ["Hα", "[OIII]₂", "Lyα", "Hβ", "[OII]", "[OIII]₁", "CIII]", "[SIII]₂", "Paα", "HeI10830", "Hγ", "CIV", "[NeIII]"];
// Viridis in nine steps (matplotlib, CC0).
const COLOURS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129],
  [92, 200, 99], [170, 220, 50], [253, 231, 37]];

function bytesOf(text) {
  const plain = atob(text), made = new Uint8Array(plain.length);
  for (let i = 0; i < plain.length; i++) made[i] = plain.charCodeAt(i);
  return made;
}
const floatsOf = text => new Float32Array(bytesOf(text).buffer);

function theme() {
  const style = getComputedStyle(document.documentElement);
  const read = name => style.getPropertyValue(`--${name}`).trim();
  return { ink: read("ink"), soft: read("soft"), grid: read("grid"), flux: read("flux"), band: read("band"),
    model: read("model"), masked: read("masked"), hatch: read("hatch"), card: read("card"), line: read("line-mark") };
}

function percentile(values, share) {
  if (!values.length) return NaN;
  const sorted = Float32Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(share * (sorted.length - 1))))];
}

// Round numbers from `low` to `high`, some `count` of them.
function ticks(low, high, count) {
  const raw = (high - low) / Math.max(count, 1);
  if (!(raw > 0) || !Number.isFinite(raw)) return [];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(n => n * power).find(n => n >= raw);
  const made = [];
  for (let n = Math.ceil(low / step); n * step <= high * (1 + 1e-12); n++) made.push(n * step);
  return made;
}
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 8, 10].map(n => n * power).find(n => n >= value) || value;
}
function tickText(value, all) {
  const step = all.length > 1 ? all[1] - all[0] : Math.abs(value) || 1;
  if (Math.abs(value) >= 1e5 || (step < 1e-4 && value)) return value.toExponential(1).replace("e+", "e");
  return value.toFixed(Math.min(6, Math.max(0, -Math.floor(Math.log10(step) + 1e-9))));
}

// One spectrum with its arrays decoded, and the borders of its pixels.
class Spectrum {
  constructor(panel) {
    this.panel = panel;
    this.wave = this.fnu = this.err = new Float32Array(0);
    if (panel.pixels) [this.wave, this.fnu, this.err] = ["wave", "fnu", "err"].map(n => floatsOf(panel.pixels[n]));
    const n = this.wave.length, w = this.wave;
    this.left = new Float32Array(n); this.right = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      const before = i ? w[i] - w[i - 1] : Infinity, after = i < n - 1 ? w[i + 1] - w[i] : Infinity;
      const near = Math.min(before, after), half = Number.isFinite(near) ? near / 2 : w[i] * 5e-4;
      // Where detectors end, the next pixel is far away: nothing lies between.
      this.left[i] = w[i] - (before < 2.5 * near ? before / 2 : half);
      this.right[i] = w[i] + (after < 2.5 * near ? after / 2 : half);
    }
    if (panel.image) {
      this.rows = panel.image.rows;
      this.snr = new Int8Array(bytesOf(panel.image.snr).buffer);
      const seen = []; for (const v of this.snr) if (v !== MASKED) seen.push(v * SNR_STEP);
      this.top = Math.min(12.7, Math.max(4, percentile(seen, 0.995) || 0));
    }
    if (panel.fit) {
      this.model = floatsOf(panel.fit.model); this.modelWave = floatsOf(panel.fit.model_wave);
      this.z = floatsOf(panel.fit.z); this.dchi2 = floatsOf(panel.fit.dchi2);
      this.onPixels = this.model.length === n && this.modelWave.every((v, i) => Math.abs(v / w[i] - 1) < 1e-4);
    }
  }
  good(i) { return Number.isFinite(this.fnu[i]); }
  nearest(wave) {
    let low = 0, high = this.wave.length - 1;
    while (low < high) { const mid = (low + high) >> 1; if (this.right[mid] < wave) low = mid + 1; else high = mid; }
    return this.wave.length && wave >= this.left[low] && wave <= this.right[low] ? low : -1;
  }
}

// What all figures of a page share: the range of wavelengths, the redshift, where the pointer is.
class View {
  constructor(spectra, z, lines) {
    const all = spectra.filter(s => s.wave.length);
    let low = Math.min(...all.map(s => s.left[0])), high = Math.max(...all.map(s => s.right[s.wave.length - 1]));
    if (!all.length) [low, high] = [0.6, 5.3];
    const pad = 0.01 * (high - low);
    this.whole = [low - pad, high + pad]; this.range = [...this.whole];
    this.z = z; this.lines = lines; this.pointer = null; this.figures = []; this.onRedshift = () => {};
    this.waiting = false;
  }
  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.drawNow(); });
  }
  drawNow() { for (const figure of this.figures) figure.draw(); }
  show(low, high) {
    const full = this.whole[1] - this.whole[0], width = Math.min(full, Math.max(full * 1e-3, high - low));
    let start = (low + high - width) / 2;
    start = Math.min(Math.max(start, this.whole[0]), this.whole[1] - width);
    this.range = [start, start + width];
    this.redraw();
  }
  zoom(factor, at = (this.range[0] + this.range[1]) / 2) {
    this.show(at - (at - this.range[0]) * factor, at + (this.range[1] - at) * factor);
  }
  pan(share) { const by = share * (this.range[1] - this.range[0]); this.show(this.range[0] + by, this.range[1] + by); }
  reset() { this.range = [...this.whole]; this.redraw(); }
  setRedshift(z) { if (Number.isFinite(z) && z > -1 && z < 100) { this.z = z; this.onRedshift(z); this.redraw(); } }
}

function prepare(canvas, height) {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth || canvas.parentElement.clientWidth;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    canvas.style.height = `${height}px`;
  }
  const g = canvas.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, height);
  g.font = `12px ${FONT}`; g.lineWidth = 1; g.setLineDash([]);
  return { g, width, ratio };
}

function hatched(g, x, y, width, height, colours) {
  g.save();
  g.beginPath(); g.rect(x, y, width, height); g.clip();
  g.fillStyle = colours.masked; g.fillRect(x, y, width, height);
  g.strokeStyle = colours.hatch; g.beginPath();
  // From one origin, so that neighbouring pieces join.
  const first = Math.floor((x - height) / 6) * 6;
  for (let s = first; s < x + width; s += 6) { g.moveTo(s, y + height); g.lineTo(s + height, y); }
  g.stroke(); g.restore();
}

class SpectrumFigure {
  constructor(spectrum, view, canvas, last) {
    Object.assign(this, { spectrum, view, canvas, last });
    this.readout = null; this.labels = [];
    view.figures.push(this);
    this.listen();
  }
  layout(width) {
    const small = width < 600, s = this.spectrum;
    const left = small ? 44 : 60, right = small ? 6 : 14;
    const rows = small ? 4 : 3, names = rows * NAME_HEIGHT + 4;
    const image = s.snr ? (small ? 52 : 72) : 0, flux = names + (small ? 160 : 196), rest = s.onPixels ? 56 : 0;
    const fluxTop = image ? image + 6 : 2, restTop = fluxTop + flux + (rest ? 6 : 0);
    const bottom = restTop + rest;
    return { left, right, rows, names, plot: width - left - right, image, fluxTop, flux, restTop, rest, bottom,
      height: bottom + (this.last ? 36 : 20), small };
  }
  x(wave) { const [a, b] = this.view.range; return this.box.left + (wave - a) / (b - a) * this.box.plot; }
  wave(x) { const [a, b] = this.view.range; return a + (x - this.box.left) / this.box.plot * (b - a); }

  draw() {
    const width = this.canvas.clientWidth || this.canvas.parentElement.clientWidth;
    if (!width) return;
    this.box = this.layout(width);
    const { g, ratio } = prepare(this.canvas, this.box.height), colours = theme(), box = this.box;
    if (box.image) this.drawImage(g, ratio, colours);
    this.drawFlux(g, colours);
    if (box.rest) this.drawResiduals(g, colours);
    this.drawAxis(g, colours);
    this.drawPointer(g, colours);
  }
  visible() {
    const s = this.spectrum, [a, b] = this.view.range, made = [];
    for (let i = 0; i < s.wave.length; i++) if (s.right[i] >= a && s.left[i] <= b) made.push(i);
    return made;
  }
  drawImage(g, ratio, colours) {
    const s = this.spectrum, box = this.box, columns = Math.max(1, Math.round(box.plot * ratio)), rows = s.rows;
    const sheet = document.createElement("canvas");
    sheet.width = columns; sheet.height = rows;
    const ink = sheet.getContext("2d"), data = ink.createImageData(columns, rows), bottom = -0.25 * s.top;
    const masked = colours.masked.match(/[0-9a-f]{2}/gi).map(v => parseInt(v, 16));
    let i = 0;
    for (let x = 0; x < columns; x++) {
      const from = this.wave(box.left + x / ratio), to = this.wave(box.left + (x + 1) / ratio), mid = (from + to) / 2;
      while (i < s.wave.length && s.right[i] < from) i++;
      let first = i, end = i;
      while (end < s.wave.length && s.left[end] < to) end++;
      if (first === end || (end - first === 1 && (mid < s.left[first] || mid > s.right[first]))) continue;
      for (let y = 0; y < rows; y++) {
        let sum = 0, n = 0;
        for (let c = first; c < end; c++) {
          const v = s.snr[(rows - 1 - y) * s.wave.length + c];
          if (v !== MASKED) { sum += v; n++; }
        }
        const at = 4 * (y * columns + x);
        let colour = masked;
        if (n) {
          const place = Math.min(0.9999, Math.max(0, (sum / n * SNR_STEP - bottom) / (s.top - bottom))) * (COLOURS.length - 1);
          const k = Math.floor(place), f = place - k;
          colour = COLOURS[k].map((v, j) => v + f * (COLOURS[k + 1][j] - v));
        }
        data.data.set([colour[0], colour[1], colour[2], 255], at);
      }
    }
    ink.putImageData(data, 0, 0);
    g.imageSmoothingEnabled = false;
    g.drawImage(sheet, box.left, 0, box.plot, box.image);
    g.strokeStyle = colours.grid; g.strokeRect(box.left + 0.5, 0.5, box.plot - 1, box.image - 1);
    g.save(); g.fillStyle = colours.soft; g.textAlign = "center"; g.font = `11px ${FONT}`;
    g.translate(12, box.image / 2); g.rotate(-Math.PI / 2); g.fillText("S/N", 0, 0); g.restore();
    // The scale of the colours, at the left edge.
    const bar = g.createLinearGradient(0, box.image - 4, 0, 4);
    COLOURS.forEach((c, k) => bar.addColorStop(k / (COLOURS.length - 1), `rgb(${c})`));
    g.fillStyle = bar; g.fillRect(box.left - 12, 4, 6, box.image - 8);
    g.fillStyle = colours.soft; g.textAlign = "right"; g.font = `10px ${FONT}`; g.textBaseline = "middle";
    g.fillText(s.top.toFixed(0), box.left - 15, 9); g.fillText(bottom.toFixed(0), box.left - 15, box.image - 8);
    g.textBaseline = "alphabetic";
  }
  limits(seen) {
    const s = this.spectrum, good = seen.filter(i => s.good(i));
    if (!good.length) return [0, 1];
    const values = good.map(i => s.fnu[i]);
    // A single wild pixel does not set the scale; a line that is measured does.
    const sure = good.filter(i => s.fnu[i] > 5 * s.err[i]).map(i => s.fnu[i]);
    let low = Math.min(0, percentile(values, 0.01)), high = Math.max(percentile(values, 0.99), percentile(sure, 0.998) || 0);
    if (!(high > low)) { low = values[0] - 1; high = values[0] + 1; }
    return [low - 0.06 * (high - low), high + 0.08 * (high - low)];
  }
  drawFlux(g, colours) {
    const box = this.box, s = this.spectrum, seen = this.visible(), [low, high] = this.limits(seen);
    const top = box.fluxTop, tall = box.flux - box.names, y = v => top + box.flux - (v - low) / (high - low) * tall;
    g.save(); g.beginPath(); g.rect(box.left, top, box.plot, box.flux); g.clip();
    for (const [a, b] of this.runs(seen, i => !s.good(i))) {
      const from = this.x(s.left[a]);
      hatched(g, from, top, Math.max(this.x(s.right[b]) - from, 0.75), box.flux, colours);
    }
    const marks = ticks(low, high, 5);
    g.strokeStyle = colours.grid;
    for (const mark of marks) { g.globalAlpha = mark === 0 ? 1 : 0.5; g.beginPath(); g.moveTo(box.left, y(mark)); g.lineTo(box.left + box.plot, y(mark)); g.stroke(); }
    g.globalAlpha = 1;
    this.drawLines(g, colours);
    // Names of lines have their rows to themselves.
    g.beginPath(); g.rect(box.left, top + box.names, box.plot, tall); g.clip();
    const runs = this.runs(seen, i => s.good(i));
    g.fillStyle = colours.band;
    for (const [a, b] of runs) {
      g.beginPath();
      for (let i = a; i <= b; i++) { g.lineTo(this.x(s.left[i]), y(s.fnu[i] + s.err[i])); g.lineTo(this.x(s.right[i]), y(s.fnu[i] + s.err[i])); }
      for (let i = b; i >= a; i--) { g.lineTo(this.x(s.right[i]), y(s.fnu[i] - s.err[i])); g.lineTo(this.x(s.left[i]), y(s.fnu[i] - s.err[i])); }
      g.fill();
    }
    g.strokeStyle = colours.flux; g.lineWidth = 1.25;
    for (const [a, b] of runs) {
      g.beginPath();
      for (let i = a; i <= b; i++) { g.lineTo(this.x(s.left[i]), y(s.fnu[i])); g.lineTo(this.x(s.right[i]), y(s.fnu[i])); }
      g.stroke();
    }
    if (s.model) {
      g.strokeStyle = colours.model; g.lineWidth = 1.25; g.beginPath();
      let pen = false;
      for (let i = 0; i < s.model.length; i++) {
        const at = s.modelWave[i];
        if (!Number.isFinite(s.model[i]) || at < this.view.range[0] || at > this.view.range[1]) { pen = false; continue; }
        if (pen) g.lineTo(this.x(at), y(s.model[i])); else g.moveTo(this.x(at), y(s.model[i]));
        pen = true;
      }
      g.stroke();
    }
    g.restore();
    g.strokeStyle = colours.grid; g.strokeRect(box.left + 0.5, top + 0.5, box.plot - 1, box.flux - 1);
    g.fillStyle = colours.soft; g.textAlign = "right"; g.textBaseline = "middle"; g.font = `11px ${FONT}`;
    for (const mark of marks) if (y(mark) > top + box.names && y(mark) < top + box.flux - 5) g.fillText(tickText(mark, marks), box.left - 6, y(mark));
    g.textBaseline = "alphabetic"; g.textAlign = "center";
    g.save(); g.translate(12, top + box.names + tall / 2); g.rotate(-Math.PI / 2); g.fillText("fν  [µJy]", 0, 0); g.restore();
    if (!s.panel.problem && seen.length === 0) {
      g.fillStyle = colours.soft; g.fillText("no pixels in this range", box.left + box.plot / 2, top + box.flux / 2);
    }
  }
  runs(seen, test) {
    const s = this.spectrum, made = [];
    let start = -1, before = -2;
    for (const i of seen) {
      const joined = i === before + 1 && s.left[i] - s.right[before] < 1e-6 * s.wave[i] + 1e-7;
      if (start >= 0 && !(test(i) && joined)) { made.push([start, before]); start = -1; }
      if (start < 0 && test(i)) start = i;
      before = i;
    }
    if (start >= 0) made.push([start, before]);
    return made;
  }
  // Dashed marks of all lines; names by importance, in up to three rows, none over another.
  drawLines(g, colours) {
    const box = this.box, rows = box.rows, height = NAME_HEIGHT;
    this.labels = [];
    const rank = name => { const k = STRONG.indexOf(name); return k < 0 ? STRONG.length : k; };
    const at = this.view.lines.map(line => ({ ...line, x: this.x(line.wave * (1 + this.view.z)) }))
      .filter(line => line.x >= box.left && line.x <= box.left + box.plot);
    g.strokeStyle = colours.line; g.setLineDash([3, 3]);
    for (const line of at) { g.globalAlpha = rank(line.name) < STRONG.length ? 0.9 : 0.45; g.beginPath(); g.moveTo(line.x, box.fluxTop + 4 + rows * height); g.lineTo(line.x, box.fluxTop + box.flux); g.stroke(); }
    g.globalAlpha = 1; g.setLineDash([]);
    g.font = `11px ${FONT}`; g.textAlign = "center"; g.fillStyle = colours.ink;
    const taken = Array.from({ length: rows }, () => []);
    for (const line of at.sort((a, b) => rank(a.name) - rank(b.name))) {
      const half = g.measureText(line.name).width / 2 + 3;
      const middle = Math.min(Math.max(line.x, box.left + half), box.left + box.plot - half);
      const row = taken.findIndex(r => r.every(([a, b]) => middle + half <= a || middle - half >= b));
      if (row < 0) continue;
      taken[row].push([middle - half, middle + half]);
      const y = box.fluxTop + 13 + row * height;
      g.fillText(line.name, middle, y);
      this.labels.push({ name: line.name, wave: line.wave, x0: middle - half, x1: middle + half, y0: y - 11, y1: y + 3 });
    }
  }
  drawResiduals(g, colours) {
    const box = this.box, s = this.spectrum, top = box.restTop, y = v => top + box.rest / 2 - v / 5 * box.rest / 2;
    g.strokeStyle = colours.grid; g.strokeRect(box.left + 0.5, top + 0.5, box.plot - 1, box.rest - 1);
    g.save(); g.beginPath(); g.rect(box.left, top, box.plot, box.rest); g.clip();
    g.beginPath(); g.moveTo(box.left, y(0)); g.lineTo(box.left + box.plot, y(0)); g.stroke();
    g.fillStyle = colours.flux;
    for (const i of this.visible()) {
      const value = (s.fnu[i] - s.model[i]) / s.err[i];
      if (Number.isFinite(value)) g.fillRect(this.x(s.wave[i]) - 1, y(Math.min(5, Math.max(-5, value))) - 1, 2, 2);
    }
    g.restore();
    g.fillStyle = colours.soft; g.font = `10px ${FONT}`; g.textAlign = "right"; g.textBaseline = "middle";
    for (const v of [-3, 0, 3]) g.fillText(`${v}`.replace("-", "−"), box.left - 6, y(v));
    g.textBaseline = "alphabetic"; g.textAlign = "center";
    g.save(); g.translate(12, top + box.rest / 2); g.rotate(-Math.PI / 2); g.fillText("resid. σ", 0, 0); g.restore();
  }
  drawAxis(g, colours) {
    const box = this.box, marks = ticks(...this.view.range, box.small ? 5 : 10);
    g.fillStyle = colours.soft; g.strokeStyle = colours.soft; g.textAlign = "center"; g.font = `11px ${FONT}`;
    for (const mark of marks) {
      const x = this.x(mark), half = g.measureText(tickText(mark, marks)).width / 2;
      g.beginPath(); g.moveTo(x, box.bottom); g.lineTo(x, box.bottom + 4); g.stroke();
      if (x - half > 0 && x + half < box.left + box.plot + box.right) g.fillText(tickText(mark, marks), x, box.bottom + 15);
    }
    if (this.last) g.fillText("Observed wavelength [µm]", box.left + box.plot / 2, box.bottom + 31);
  }
  drawPointer(g, colours) {
    const at = this.view.pointer, s = this.spectrum;
    if (this.select) {
      g.fillStyle = colours.ink; g.globalAlpha = 0.12;
      g.fillRect(Math.min(...this.select), 0, Math.abs(this.select[1] - this.select[0]), this.box.bottom); g.globalAlpha = 1;
    }
    if (at === null) { if (this.readout) this.readout.textContent = ""; return; }
    const x = this.x(at);
    if (x < this.box.left || x > this.box.left + this.box.plot) return;
    g.strokeStyle = colours.soft; g.beginPath(); g.moveTo(x, 0); g.lineTo(x, this.box.bottom); g.stroke();
    if (!this.readout) return;
    const i = s.nearest(at), rest = (at / (1 + this.view.z)).toFixed(4);
    const value = i < 0 ? "no pixel" : s.good(i) ? `${s.fnu[i].toPrecision(3)} ± ${s.err[i].toPrecision(2)} µJy` : "masked";
    this.readout.textContent = `${at.toFixed(4)} µm · rest ${rest} · ${value}`;
  }
  listen() {
    const c = this.canvas, view = this.view, pointers = new Map();
    let began = null, moved = null, pinch = null;
    const place = event => event.clientX - c.getBoundingClientRect().left;
    const labelAt = event => { const r = c.getBoundingClientRect(), x = event.clientX - r.left, y = event.clientY - r.top;
      return this.labels.find(l => x >= l.x0 && x <= l.x1 && y >= l.y0 - 2 && y <= l.y1 + 2); };
    c.addEventListener("pointerdown", event => {
      pointers.set(event.pointerId, place(event)); c.setPointerCapture(event.pointerId);
      if (pointers.size === 2) { const [a, b] = [...pointers.values()]; pinch = { waves: [this.wave(a), this.wave(b)] }; began = null; this.select = null; return; }
      moved = labelAt(event);
      began = { x: place(event), range: [...view.range], pan: event.shiftKey || event.pointerType === "touch" };
    });
    c.addEventListener("pointermove", event => {
      const x = place(event);
      c.style.cursor = labelAt(event) || moved ? "ew-resize" : "crosshair";
      if (pointers.has(event.pointerId)) pointers.set(event.pointerId, x);
      if (pinch && pointers.size === 2) {
        const [a, b] = [...pointers.values()], [u, v] = pinch.waves, scale = (v - u) / (b - a || 1);
        if (scale > 0) view.show(u - (a - this.box.left) * scale, u + (this.box.left + this.box.plot - a) * scale);
        return;
      }
      view.pointer = this.wave(x);
      if (moved) view.setRedshift(this.wave(x) / moved.wave - 1);
      else if (began && began.pan) { const by = (began.x - x) / this.box.plot * (began.range[1] - began.range[0]); view.show(began.range[0] + by, began.range[1] + by); }
      else if (began) this.select = [began.x, x];
      view.redraw();
    });
    const end = event => {
      pointers.delete(event.pointerId);
      if (pointers.size < 2) pinch = null;
      if (this.select && Math.abs(this.select[1] - this.select[0]) > 6) { const [a, b] = this.select.map(v => this.wave(v)).sort((p, q) => p - q); view.show(a, b); }
      began = moved = this.select = null; view.redraw();
    };
    c.addEventListener("pointerup", end); c.addEventListener("pointercancel", end);
    c.addEventListener("pointerleave", () => { view.pointer = null; view.redraw(); });
    c.addEventListener("dblclick", () => view.reset());
    c.addEventListener("wheel", event => {
      if (!event.ctrlKey && !event.altKey) return;  // the page scrolls
      event.preventDefault(); view.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.wave(place(event)));
    }, { passive: false });
  }
}

// Chi-square over redshift, of every fit; a click takes the redshift that is pointed at.
class RedshiftFigure {
  constructor(spectra, view, canvas) {
    this.fits = spectra.filter(s => s.dchi2 && s.dchi2.some(Number.isFinite));
    Object.assign(this, { view, canvas });
    view.figures.push(this);
    canvas.addEventListener("click", event => {
      const x = event.clientX - canvas.getBoundingClientRect().left, share = (x - this.left) / this.plot;
      if (share >= 0 && share <= 1) view.setRedshift(this.low + share * (this.high - this.low));
    });
  }
  draw() {
    if (!this.fits.length || !this.canvas.parentElement.clientWidth) return;
    const { g, width } = prepare(this.canvas, 170), colours = theme();
    this.left = 44; this.plot = width - this.left - 10;
    this.low = Math.min(...this.fits.map(f => f.z[0]), this.view.z); this.high = Math.max(...this.fits.map(f => f.z[f.z.length - 1]), this.view.z);
    const top = 6, tall = 122, highest = roundUp(Math.max(...this.fits.map(f => percentile(f.dchi2.filter(Number.isFinite), 0.9))) || 1);
    const x = z => this.left + (z - this.low) / (this.high - this.low || 1) * this.plot;
    const y = v => top + tall - Math.sqrt(Math.min(Math.max(v, 0), highest) / highest) * (tall - 6);
    g.strokeStyle = colours.grid; g.strokeRect(this.left + 0.5, top + 0.5, this.plot - 1, tall);
    this.fits.forEach((fit, k) => {
      g.strokeStyle = colours.flux; g.setLineDash([[], [5, 3], [2, 2], [8, 3, 2, 3]][k % 4]); g.lineWidth = 1.25; g.beginPath();
      let pen = false;
      fit.z.forEach((z, i) => { if (!Number.isFinite(fit.dchi2[i])) { pen = false; return; } if (pen) g.lineTo(x(z), y(fit.dchi2[i])); else g.moveTo(x(z), y(fit.dchi2[i])); pen = true; });
      g.stroke();
    });
    g.setLineDash([]); g.strokeStyle = colours.model; g.lineWidth = 1.5; g.beginPath(); g.moveTo(x(this.view.z), top); g.lineTo(x(this.view.z), top + tall); g.stroke();
    g.fillStyle = colours.soft; g.font = `11px ${FONT}`; g.textAlign = "center";
    for (const mark of ticks(this.low, this.high, 5)) g.fillText(tickText(mark, ticks(this.low, this.high, 5)), x(mark), top + tall + 15);
    g.fillText("redshift", this.left + this.plot / 2, top + tall + 32);
    g.textAlign = "right"; g.textBaseline = "middle";
    for (const v of [0, highest / 4, highest]) g.fillText(v >= 1e4 ? v.toExponential(0).replace("e+", "e") : v.toFixed(0), this.left - 5, y(v) + (v ? 4 : -4));
    g.textBaseline = "alphabetic"; g.textAlign = "center";
    g.save(); g.translate(11, top + tall / 2); g.rotate(-Math.PI / 2); g.fillText("Δχ²", 0, 0); g.restore();
  }
}
