// The page: a table of objects, and one object after the other. Text of the archive is only ever set as text.

const QUALITIES = ["0 not inspected", "1 impossible", "2 tentative", "3 probable", "4 secure"];

// An element with attributes, listeners (`onclick`) and children; strings become text.
function make(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter(child => child !== null && child !== undefined));
  return made;
}
const known = (value, digits) => value === null || value === undefined ? "–" : typeof value === "number" && digits !== undefined ? value.toFixed(digits) : String(value);
const day = text => text ? text.slice(0, 10) : "–";
const listed = values => values && values.length ? values.join(", ") : "–";

// --- where objects come from: a server, or this very page ---------------------------------------------------

class ServerSource {
  constructor(settings) {
    this.settings = settings;
    this.prefix = /^(.*?)\/view(\/|$)/.exec(location.pathname)[1];
    this.kept = new Map();
  }
  address(path, params) { const text = new URLSearchParams(params).toString(); return `${this.prefix}/viewer/${path}${text ? `?${text}` : ""}`; }
  async ask(path, params = {}, options = {}) {
    const answer = await fetch(this.address(path, params), { credentials: "same-origin", ...options });
    if (answer.status === 401) { location.reload(); return new Promise(() => {}); }  // the page asks to sign in
    const body = await answer.json();
    if (!answer.ok) { const error = new Error(body.error || `the server answered ${answer.status}`); error.status = answer.status; error.body = body; throw error; }
    return body;
  }
  async names(filters) { return (await this.ask("names", filters)).data; }
  rows(filters, offset, limit) { return this.ask("objects", { ...filters, offset, limit }).then(body => body.data); }
  words() { return this.ask("words"); }
  object(name) {
    if (!this.kept.has(name)) {
      const asked = this.ask("object", { object_id: name });
      asked.catch(() => this.kept.delete(name));
      this.kept.set(name, asked);
      if (this.kept.size > 24) this.kept.delete(this.kept.keys().next().value);
    }
    return this.kept.get(name);
  }
  forget(name) { this.kept.delete(name); }
  picture(name) { return this.address("cutout", { object_id: name }); }
}

class PageSource {
  constructor(settings) { this.settings = settings; this.objects = settings.objects; }
  chosen(filters) {
    const number = name => filters[name] === undefined ? null : Number(filters[name]);
    const within = (value, name) => {
      const low = number(`${name}_min`), high = number(`${name}_max`);
      if (low === null && high === null) return true;
      return value !== null && value !== undefined && (low === null || value >= low) && (high === null || value <= high);
    };
    const among = (values, name) => !filters[name] || filters[name].split(",").some(v => values.map(String).includes(v));
    const found = this.objects.map(o => o.object).filter(o =>
      (!filters.search || o.object_id.toLowerCase().includes(filters.search.toLowerCase())) &&
      within(o.redshift, "redshift") && within(o.max_snr, "max_snr") && among([o.redshift_quality], "redshift_quality") &&
      among([o.field], "fields") && among(o.gratings, "gratings") && among(o.programs, "programs") && among(o.lists, "lists"));
    if (filters.sort) {
      const sign = filters.sort_dir === "desc" ? -1 : 1, empty = v => v === null || v === undefined;
      found.sort((a, b) => { const [p, q] = [a[filters.sort], b[filters.sort]];
        if (empty(p) || empty(q)) return empty(p) - empty(q);
        return p < q ? -sign : p > q ? sign : 0; });
    }
    return found;
  }
  async names(filters) { return this.chosen(filters).map(o => o.object_id); }
  async rows(filters, offset, limit) { return this.chosen(filters).slice(offset, offset + limit); }
  async words() {
    const all = pick => [...new Set(this.objects.flatMap(o => pick(o.object)))].filter(v => v).sort();
    return { fields: all(o => [o.field]), gratings: all(o => o.gratings), programs: all(o => o.programs), tags: all(o => o.lists).map(slug => ({ slug, name: slug })) };
  }
  async object(name) { return this.objects.find(o => o.object.object_id === name) || Promise.reject(new Error(`no object ${name}`)); }
  picture() { return null; }
}

// --- the page ------------------------------------------------------------------------------------------------

const COLUMNS = [["object_id", "Object"], ["redshift", "z", 4], ["redshift_quality", "Quality", 0], ["max_snr", "S/N", 1],
  ["gratings", "Gratings"], ["n_spectra", "Spectra", 0, true], ["field", "Field", null, true], ["ra", "RA", 5, true], ["dec", "Dec", 5, true], ["photo_z", "Photo-z", 2, true],
  ["max_exposure_time", "Exposure [s]", 0, true], ["programs", "Programs", null, true], ["lists", "Tags", null, true]];
const UNSORTED = ["gratings", "programs", "lists"], PAGE = 100;

class Page {
  constructor(settings) {
    this.settings = settings;
    this.source = settings.server ? new ServerSource(settings) : new PageSource(settings);
    this.filters = {}; this.names = []; this.name = null; this.row = 0; this.turn = 0;
    this.head = make("header"); this.main = make("main", { id: "main" }); this.help = this.makeHelp();
    document.body.append(this.head, this.main, this.help);
    document.addEventListener("keydown", event => this.onKey(event));
    window.addEventListener("resize", () => this.view && this.view.redraw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.view && this.view.redraw());
    window.addEventListener("popstate", () => this.follow());
  }
  async start() {
    this.known = await this.source.words().catch(() => ({ programs: [], fields: [], gratings: [], tags: [] }));
    await this.follow();
  }
  async follow() {
    if (this.settings.server) {
      this.filters = Object.fromEntries(new URLSearchParams(location.search));
      const rest = location.pathname.slice(this.source.prefix.length + "/view".length).replace(/^\//, "");
      this.name = rest ? decodeURIComponent(rest) : null;
    } else if (this.settings.objects.length === 1) this.name = this.settings.objects[0].object.object_id;
    await this.list();
    await (this.name === null ? this.showTable() : this.showObject(this.name, false));
  }
  async list() { this.names = await this.source.names(this.filters).catch(error => { this.fail(error); return []; }); }
  remember(push) {
    if (!this.settings.server) return;
    const text = new URLSearchParams(this.filters).toString();
    const path = `${this.source.prefix}/view${this.name === null ? "" : `/${encodeURIComponent(this.name)}`}${text ? `?${text}` : ""}`;
    history[push ? "pushState" : "replaceState"](null, "", path);
  }
  fail(error) { this.main.replaceChildren(make("p", { class: "problem", role: "alert" }, error.message)); }
  title(text) { document.title = `${text} - CAMPFIRE`; }

  // --- the table ---------------------------------------------------------------------------------------------
  async showTable(push = false) {
    this.name = null; this.view = null; this.turn++; this.remember(push); this.title("Objects");
    this.count = make("span", { class: "soft", id: "count", role: "status" });
    this.head.replaceChildren(make("h1", {}, "Objects"), this.count, make("span", { class: "fill" }),
      make("span", { class: "who" }, this.settings.who || ""), make("button", { onclick: () => this.help.showModal(), title: "Keys (?)" }, "?"));
    this.body = make("tbody", { id: "objects" }); this.headRow = make("tr");
    this.more = make("div");
    this.main.replaceChildren(this.makeFilters(), make("div", { class: "table" }, make("table", {}, make("thead", {}, this.headRow), this.body)), this.more);
    new IntersectionObserver(seen => seen.some(s => s.isIntersecting) && this.fill(), { rootMargin: "400px" }).observe(this.more);
    await this.refill();
  }
  makeFilters() {
    const set = (name, value) => { if (value === "") delete this.filters[name]; else this.filters[name] = value; clearTimeout(this.later); this.later = setTimeout(() => this.refilter(), 150); };
    const field = (label, name, more) => make("label", {}, label, make("input", { name, value: this.filters[name] || "", oninput: event => set(name, event.target.value.trim()), ...more }));
    const range = (label, name) => make("label", {}, label, make("span", { class: "pair" }, ...["min", "max"].map(end =>
      make("input", { name: `${name}_${end}`, type: "number", step: "any", placeholder: end, "aria-label": `${label} ${end}`, value: this.filters[`${name}_${end}`] || "", oninput: event => set(`${name}_${end}`, event.target.value) }))));
    const choose = (label, name, options) => make("label", {}, label, make("select", { name, onchange: event => set(name, event.target.value) }, make("option", { value: "" }, "any"),
      ...options.map(([value, text]) => make("option", { value, selected: this.filters[name] === value }, text))));
    const plain = values => values.map(v => [v, v]);
    return make("form", { class: "filters", role: "search", onsubmit: event => event.preventDefault() },
      field("Search", "search", { type: "search", id: "search", placeholder: "part of a name" }), range("Redshift", "redshift"), range("S/N", "max_snr"),
      choose("Quality", "redshift_quality", QUALITIES.map((text, n) => [String(n), text])), choose("Grating", "gratings", plain(this.known.gratings)),
      choose("Field", "fields", plain(this.known.fields)), choose("Program", "programs", plain(this.known.programs)),
      choose("Tag", "lists", this.known.tags.map(t => [t.slug, t.name])),
      make("button", { type: "button", onclick: () => { this.filters = {}; this.list().then(() => this.showTable()); } }, "Clear"));
  }
  async refilter() { this.remember(false); await this.list(); await this.refill(); }
  async refill() {
    this.headRow.replaceChildren(...COLUMNS.map(([name, label, digits, wide]) => {
      const active = (this.filters.sort || "object_id") === name, down = active && this.filters.sort_dir === "desc";
      const sort = () => { Object.assign(this.filters, { sort: name, sort_dir: active && !down ? "desc" : "asc" }); this.refilter(); };
      const inner = UNSORTED.includes(name) ? make("span", { class: "soft" }, label) : make("button", { type: "button", onclick: sort }, label, active ? (down ? " ↓" : " ↑") : "");
      return make("th", { class: `${typeof digits === "number" ? "number" : ""} ${wide ? "wide" : ""}`, "aria-sort": active ? (down ? "descending" : "ascending") : null }, inner);
    }));
    this.body.replaceChildren(); this.row = 0; this.filled = 0; this.filling = false;
    this.count.textContent = `${this.names.length.toLocaleString("en")} objects`;
    await this.fill();
  }
  async fill() {
    if (this.filling || this.name !== null || this.filled >= this.names.length) return;
    this.filling = true;
    const body = this.body, rows = await this.source.rows(this.filters, this.filled, PAGE).catch(error => { this.fail(error); return []; });
    if (body !== this.body || (this.filled && !body.childElementCount)) return;
    this.filled += rows.length || this.names.length;
    for (const row of rows) {
      const cells = COLUMNS.map(([name, , digits, wide]) => {
        let value = row[name];
        if (name === "lists") value = listed(value.map(tag => tag.name || tag)); else if (Array.isArray(value)) value = listed(value);
        const number = typeof digits === "number";
        return make("td", { class: `${number ? "number" : ""} ${wide ? "wide" : ""}` }, name === "object_id" ? make("a", { href: this.settings.server ? `${this.source.prefix}/view/${encodeURIComponent(value)}` : "#" }, value) : known(value, number ? digits : undefined));
      });
      body.append(make("tr", { onclick: event => { event.preventDefault(); this.showObject(row.object_id, true); } }, ...cells));
    }
    this.filling = false; this.selectRow(this.row, false);
    if (this.more.getBoundingClientRect().top < innerHeight + 400) this.fill();
  }
  selectRow(n, scroll = true) {
    const rows = this.body.rows;
    if (!rows.length) return;
    this.row = Math.min(Math.max(n, 0), rows.length - 1);
    for (const row of rows) row.removeAttribute("aria-selected");
    rows[this.row].setAttribute("aria-selected", "true");
    if (scroll) rows[this.row].scrollIntoView({ block: "nearest" });
  }

  // --- one object ----------------------------------------------------------------------------------------------
  async showObject(name, push) {
    const turn = ++this.turn;
    this.name = name; this.remember(push); this.title(name);
    let data;
    try { data = await this.source.object(name); } catch (error) { if (turn === this.turn) { this.headObject(name); this.fail(error); } return; }
    if (turn !== this.turn) return;  // somebody was faster
    this.data = data; this.headObject(name);
    const spectra = data.spectra.map(panel => new Spectrum(panel)).sort((a, b) => this.place(a) - this.place(b));
    const fitted = spectra.find(s => s.panel.fit);
    this.first = data.object.redshift ?? data.object.redshift_auto ?? (fitted ? fitted.panel.fit.redshift : null);
    this.view = new View(spectra, this.first ?? 0, this.settings.lines);
    const left = make("div"), right = make("div");
    left.append(this.makeTools());
    spectra.forEach((spectrum, n) => left.append(this.makeFigure(spectrum, n === spectra.length - 1)));
    if (!spectra.length) left.append(make("p", { class: "card" }, "No spectra of this object can be shown."));
    if (this.makeMarks) right.append(this.makeMarks(data));
    right.append(...this.makeCutout(data), ...this.makeFit(spectra), this.makeFacts(data.object), this.makeSpectra(data.spectra));
    this.main.replaceChildren(make("div", { class: "object" }, left, right));
    this.main.dataset.object = name;
    this.view.drawNow();
    window.dispatchEvent(new CustomEvent("shown", { detail: name }));
    this.prefetch();
  }
  // The prism shows most: first; then from blue to red.
  place(spectrum) { return spectrum.panel.grating === "PRISM" ? 0 : spectrum.wave[0] || 99; }
  headObject(name) {
    const at = this.names.indexOf(name), go = step => make("button", { onclick: () => this.step(step), title: step > 0 ? "Next (j, →)" : "Previous (k, ←)", "aria-label": step > 0 ? "Next" : "Previous",
      disabled: at + step < 0 || at + step >= this.names.length || at < 0 }, step > 0 ? "→" : "←");
    this.head.replaceChildren(make("button", { onclick: () => this.showTable(true), title: "Table (t)" }, "Table"), go(-1), go(1), make("h1", { id: "name" }, name),
      make("span", { class: "soft", id: "place" }, at < 0 ? "not in the list" : `${(at + 1).toLocaleString("en")} of ${this.names.length.toLocaleString("en")}`),
      make("span", { class: "fill" }), make("span", { class: "who" }, this.settings.who || ""), make("button", { onclick: () => this.help.showModal(), title: "Keys (?)" }, "?"));
  }
  makeTools() {
    const box = make("input", { id: "z", type: "number", step: "0.0001", min: "-0.9", "aria-label": "Redshift", oninput: event => this.view.setRedshift(parseFloat(event.target.value)) });
    const tell = z => { if (document.activeElement !== box) box.value = z.toFixed(4); };
    this.view.onRedshift = tell; tell(this.view.z);
    const nudge = by => () => { box.blur(); this.nudge(by); };
    return make("div", { class: "tools card" }, make("label", { for: "z" }, "z ="), box, make("button", { onclick: nudge(-1), title: "Lower ([)" }, "−"), make("button", { onclick: nudge(1), title: "Higher (])" }, "+"),
      make("button", { onclick: () => this.resetRedshift(), title: "As in the catalogue (c)" }, "Catalogue z"), make("button", { onclick: () => this.view.reset(), title: "All wavelengths (0)" }, "Reset zoom"),
      make("span", { class: "soft" }, "Drag to zoom, or a line's name to move the redshift."));
  }
  nudge(by) { this.view.setRedshift(this.view.z + by * 0.0005 * (1 + this.view.z)); }
  resetRedshift() { document.activeElement.blur(); this.view.setRedshift(this.first ?? 0); }
  makeFigure(spectrum, last) {
    const panel = spectrum.panel, readout = make("span", { class: "readout" });
    const facts = [panel.program_slug, panel.signal_to_noise == null ? null : `S/N ${panel.signal_to_noise.toFixed(1)}`, panel.exposure_time == null ? null : `${Math.round(panel.exposure_time).toLocaleString("en")} s`].filter(v => v);
    const card = make("section", { class: "card", "aria-label": `Spectrum ${panel.grating}` }, make("div", { class: "figure-head" }, make("span", {}, make("strong", {}, panel.grating), " ", make("span", { class: "soft" }, facts.join(" · "))), readout));
    if (panel.problem) card.append(make("p", { class: "problem" }, panel.problem));
    if (spectrum.wave.length) {
      const canvas = make("canvas", { role: "img", "aria-label": `${panel.spectrum_id}: image, flux and residuals` });
      card.append(canvas);
      new SpectrumFigure(spectrum, this.view, canvas, last).readout = readout;
    }
    return card;
  }
  makeFit(spectra) {
    const canvas = make("canvas", { role: "img", "aria-label": "Chi-square over redshift" }), figure = new RedshiftFigure(spectra, this.view, canvas);
    if (!figure.fits.length) return [];
    canvas.style.cursor = "pointer";
    const best = figure.fits.map(f => `${f.panel.grating}: ${f.panel.fit.redshift.toFixed(4)}${f.panel.fit.confidence === null ? "" : ` (${f.panel.fit.confidence.toFixed(0)}%)`}`);
    return [make("section", { class: "card" }, make("h2", {}, "Redshift fit"), canvas, make("p", { class: "soft" }, best.join(" · ")))];
  }
  makeCutout(data) {
    const source = this.source.picture(data.object.object_id);
    if (source === null) return [];
    const NS = "http://www.w3.org/2000/svg", side = 300, fov = this.settings.fov, scale = side / fov;
    const draw = (tag, given, ...children) => { const made = document.createElementNS(NS, tag); for (const [k, v] of Object.entries(given)) made.setAttribute(k, v); made.append(...children); return made; };
    const box = draw("svg", { viewBox: `0 0 ${side} ${side}`, role: "img", "aria-label": "Cutout with shutters" });
    const picture = draw("image", { href: source, width: side, height: side }), none = draw("text", { x: side / 2, y: 24, fill: "#cfd6de", "font-size": 13, "text-anchor": "middle" });
    picture.addEventListener("error", () => { none.textContent = "no image of this place"; });
    box.append(picture, none);
    const mine = new Set(data.object.member_target_ids), [width, height] = this.settings.shutter, shrink = Math.cos(data.object.dec * Math.PI / 180);
    for (const s of data.shutters) {
      const east = ((s.center_ra - data.object.ra + 540) % 360 - 180) * shrink * 3600, north = (s.center_dec - data.object.dec) * 3600;
      const x = side / 2 - east * scale, y = side / 2 - north * scale, stuck = s.shutter_state === "stuck_closed";
      box.append(draw("rect", { x: x - width * scale / 2, y: y - height * scale / 2, width: width * scale, height: height * scale, transform: `rotate(${-s.position_angle} ${x} ${y})`,
        fill: "none", stroke: stuck ? "#ff6b6b" : mine.has(s.object_id) ? "#4ade80" : "#b8c0ca", "stroke-width": mine.has(s.object_id) ? 1.4 : 0.8, "stroke-dasharray": stuck ? "4 2" : "none" }));
    }
    const bar = scale, ink = { stroke: "#fff", "stroke-width": 2, fill: "none" }, words = { fill: "#fff", "font-size": 12, "text-anchor": "middle" };
    box.append(draw("path", { d: `M14 ${side - 12}h${bar}`, ...ink }), draw("text", { x: 14 + bar / 2, y: side - 18, ...words }, "1″"),
      draw("path", { d: `M${side - 20} ${side - 14}v-34m0 34h-34`, ...ink }), draw("text", { x: side - 20, y: side - 53, ...words }, "N"), draw("text", { x: side - 62, y: side - 10, ...words }, "E"));
    return [make("section", { class: "card" }, make("h2", {}, `Cutout, ${fov}″`), box)];
  }
  makeFacts(object) {
    const err = object.photo_z_err_lo == null ? "" : ` (${object.photo_z_err_lo.toFixed(2)} to ${known(object.photo_z_err_hi, 2)})`;
    const facts = [["Redshift", known(object.redshift, 4)], ["Quality", QUALITIES[object.redshift_quality] ?? "–"], ["Inspected", known(object.redshift_inspected, 4)], ["Automatic", known(object.redshift_auto, 4)],
      ["Photo-z", known(object.photo_z, 2) + err], ["RA, Dec", object.ra == null ? "–" : `${object.ra.toFixed(6)}, ${object.dec.toFixed(6)}`], ["Field", known(object.field)], ["Programs", listed(object.programs)],
      ["Max. S/N", known(object.max_snr, 1)], ["Inspected at", day(object.last_inspected_at)], ["Out of date", known(object.staleness_reason)]];
    return make("section", { class: "card" }, make("h2", {}, "Facts"), make("dl", {}, ...facts.filter(([, v]) => v !== "–").flatMap(([k, v]) => [make("dt", {}, k), make("dd", {}, v)])),
      make("h2", {}, "Tags"), object.lists && object.lists.length ? make("div", { class: "chips", id: "tags" }, ...object.lists.map(t => make("span", { class: "chip" }, t))) : make("span", { class: "soft" }, "none"));
  }
  makeSpectra(panels) { return make("section", { class: "card" }, make("h2", {}, "Spectra"), make("dl", {}, ...panels.flatMap(p => [make("dt", {}, p.grating), make("dd", {}, p.spectrum_id)]))); }
  prefetch() {
    if (!this.settings.server) return;
    const at = this.names.indexOf(this.name);
    for (const step of [1, 2, -1]) {
      const name = this.names[at + step];
      if (at < 0 || name === undefined) continue;
      this.source.object(name).catch(() => {});
      if (step === 1) new Image().src = this.source.picture(name);
    }
  }
  step(by) {
    const name = this.names[this.names.indexOf(this.name) + by];
    if (this.names.includes(this.name) && name !== undefined) this.showObject(name, false);
  }

  // --- keys ----------------------------------------------------------------------------------------------------
  keys() {
    const table = { j: ["next row", () => this.selectRow(this.row + 1)], k: ["previous row", () => this.selectRow(this.row - 1)], Enter: ["open the row", () => this.body.rows[this.row]?.click()] };
    const object = { j: ["next object", () => this.step(1)], k: ["previous object", () => this.step(-1)], t: ["the table", () => this.showTable(true)], z: ["type a redshift", () => document.getElementById("z").select()],
      "[": ["lower redshift", () => this.nudge(-1)], "]": ["higher redshift", () => this.nudge(1)], c: ["redshift of the catalogue", () => this.resetRedshift()],
      "+": ["zoom in", () => this.view.zoom(0.7)], "-": ["zoom out", () => this.view.zoom(1.4)], h: ["to shorter wavelengths", () => this.view.pan(-0.2)], l: ["to longer wavelengths", () => this.view.pan(0.2)], "0": ["all wavelengths", () => this.view.reset()],
      ...(this.markKeys ? this.markKeys() : {}) };
    const both = { "/": ["search", async () => { if (this.name !== null) await this.showTable(true); document.getElementById("search").focus(); }], "?": ["this help", () => this.help.showModal()] };
    return { table, object, both };
  }
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.help.open) return;
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (typing) { if (event.key === "Escape" || (event.key === "Enter" && event.target.tagName === "INPUT")) { event.preventDefault(); event.target.blur(); } return; }
    const alias = { ArrowRight: "j", ArrowLeft: "k", Escape: "t", "=": "+" };
    if (this.name === null) Object.assign(alias, { ArrowDown: "j", ArrowUp: "k" });
    const { table, object, both } = this.keys(), name = alias[event.key] || event.key;
    if (name === "Enter" && /^(BUTTON|A)$/.test(event.target.tagName)) return;
    const found = (this.name === null ? table : this.data ? object : {})[name] || both[name];
    if (found) { event.preventDefault(); found[1](); }
  }
  makeHelp() {
    const { table, object, both } = this.keys(), shown = keys => make("dl", {}, ...Object.entries(keys).flatMap(([key, [what]]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, what)]));
    const box = make("dialog", { "aria-label": "Keys" }, make("h2", {}, "Keys"), make("p", { class: "soft" }, "→ and ← are j and k. Drag over a spectrum zooms, with Shift moves; with Ctrl the wheel zooms; a double click shows all. Hatched: masked pixels."),
      make("h3", {}, "An object"), shown(object), make("h3", {}, "The table"), shown(table), make("h3", {}, "Everywhere"), shown(both), make("p"), make("button", { onclick: () => box.close() }, "Close"));
    return box;
  }
}

const page = new Page(JSON.parse(document.getElementById("settings").textContent));
page.start();
