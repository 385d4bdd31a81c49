"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  root.classList.add("js");

  // The page's own switch of themes. Storage may be forbidden, as in files that are opened from a disk.
  const themes = ["system", "light", "dark"];
  const button = document.getElementById("theme");
  const show = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    button.querySelector("span").textContent = theme;
  };
  const stored = (theme) => {
    try {
      if (theme) localStorage.setItem("remat-theme", theme);
      return localStorage.getItem("remat-theme");
    } catch {
      return theme;
    }
  };
  let theme = themes.includes(stored()) ? stored() : "system";
  button.hidden = false;
  show(theme);
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    stored(theme);
    show(theme);
  });

  // Sizes and times as the rest of the page writes them.
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  const human = (bytes) => {
    let power = 0;
    while (power < 6 && bytes >= 1024 ** (power + 1)) power++;
    if (power === 0) return `${bytes} B`;
    return `${(Math.round((bytes * 100) / 1024 ** power) / 100).toFixed(2)} ${units[power]}`;
  };
  const time = (ns, longest) => {
    const [unit, name] = longest < 1e3 ? [1, "ns"] : longest < 1e6 ? [1e3, "µs"] : longest < 1e9 ? [1e6, "ms"] : [1e9, "s"];
    return `${Math.round((ns * 100) / unit) / 100} ${name}`;
  };

  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const swatch = (kind) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    svg.setAttribute("class", "remat swatch");
    svg.setAttribute("viewBox", "0 0 10 10");
    svg.setAttribute("aria-hidden", "true");
    rect.setAttribute("width", 10);
    rect.setAttribute("height", 10);
    rect.setAttribute("class", data.classes[kind]);
    svg.append(rect);
    return svg;
  };
  const row = (kind, name, module, size) => {
    const tr = element("tr");
    const th = element("th");
    th.scope = "row";
    if (kind >= 0) th.append(swatch(kind));
    th.append(name);
    if (module) {
      th.title = `${name} ${module}`;
      th.append(" ", element("span", module, "quiet"));
    }
    tr.append(th, element("td", size, "n"));
    return tr;
  };

  for (const curve of document.querySelectorAll(".curve")) {
    const graph = data.graphs[curve.dataset.graph];
    const of = graph.cases[curve.dataset.case];
    const last = of.start.length - 1;
    if (last < 0) continue;
    const panel = curve.parentElement.querySelector(".panel");
    const cursors = [...curve.querySelectorAll(".cursor")];
    let at = Number(curve.dataset.peak);

    const bytes = (kind) => (of.kinds[kind].length === 1 ? of.kinds[kind][0] : of.kinds[kind][at]);
    const place = (line) => {
      const { from, until, length, optimizer } = line.dataset;
      const part = of.middle[at] / length;
      const x = data.phases[of.phase[at]] === "optimizer" ? Number(optimizer) : Number(from) + part * (until - from);
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
    };
    const tell = () => {
      cursors.forEach(place);
      const live = data.kinds.reduce((sum, _, kind) => sum + bytes(kind), 0);
      const when = of.timed ? time(of.at[at], of.length) : `kernel ${of.at[at]}`;
      const said = `${when}, ${data.phases[of.phase[at]]}: ${human(live)} alive`;
      curve.setAttribute("aria-valuenow", at);
      curve.setAttribute("aria-valuetext", said);
      const now = panel.querySelector(".now");
      now.textContent = said;
      now.dataset.bytes = live;
      const operator = of.operator[at] < 0 ? "" : graph.operators[of.operator[at]];
      const region = of.region[at] < 0 ? "" : ` in region ${of.region[at] + 1}`;
      panel.querySelector(".runs").textContent = operator + region;
      panel.querySelector(".count").textContent = of.count[at];
      const kinds = data.kinds.map((name, kind) => [kind, name, bytes(kind)]).filter((k) => k[2] > 0);
      panel.querySelector(".kinds tbody").replaceChildren(...kinds.map(([kind, name, b]) => row(kind, name, "", human(b))));
      const largest = of.largest[at].map((i) => of.storages[i]);
      const storages = largest.map(([name, kind, b, module]) => row(kind, name, of.modules[module], human(b)));
      panel.querySelector(".largest tbody").replaceChildren(...storages);
      const modules = [];
      for (let i = 0; i < of.by_module[at].length; i += 2) {
        modules.push(row(-1, of.modules[of.by_module[at][i]], "", human(of.by_module[at][i + 1])));
      }
      panel.querySelector(".modules tbody").replaceChildren(...modules);
    };
    const go = (to) => {
      const next = Math.max(0, Math.min(last, to));
      if (next === at) return;
      at = next;
      tell();
    };

    // The last moment that has begun at a position.
    const find = (position) => {
      let low = 0;
      let high = last;
      while (low < high) {
        const middle = Math.ceil((low + high) / 2);
        if (of.start[middle] <= position) low = middle;
        else high = middle - 1;
      }
      return low;
    };
    const point = (event) => {
      const svg = event.target.closest("svg");
      if (!svg) return;
      const line = svg.querySelector(".cursor");
      if (!line) return;
      const { from, until, length } = line.dataset;
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      const part = (x - from) / (until - from);
      const hasOptimizer = data.phases[of.phase[last]] === "optimizer";
      const passes = hasOptimizer ? last - 1 : last;
      const end = of.length / length;
      if (part > end) go(hasOptimizer ? last : passes);
      else go(Math.min(find(Math.max(0, part) * length), Math.max(passes, 0)));
    };
    curve.addEventListener("pointermove", point);
    curve.addEventListener("pointerdown", point);
    curve.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -20, PageUp: 20 };
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key in steps) go(at + steps[event.key]);
      else if (event.key === "Home") go(0);
      else if (event.key === "End") go(last);
      else if (event.key === "p" || event.key === "P") go(Number(curve.dataset.peak));
      else return;
      event.preventDefault();
    });
    tell();

    // A region in the picture and in the list.
    const list = document.getElementById(`regions-${curve.dataset.graph}-${curve.dataset.case}`);
    if (!list) continue;
    const light = (region, on) => {
      for (const place of [curve, list]) {
        for (const part of place.querySelectorAll(`[data-region="${region}"]`)) part.classList.toggle("lit", on);
      }
    };
    for (const place of [curve, list]) {
      for (const part of place.querySelectorAll("[data-region]")) {
        part.addEventListener("pointerenter", () => light(part.dataset.region, true));
        part.addEventListener("pointerleave", () => light(part.dataset.region, false));
      }
    }
  }

  // Paper shows what a click would open.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const details of closed) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of closed) details.open = false;
  });
})();
