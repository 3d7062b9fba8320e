// Measures what the checklist asks of a page: what sticks out, font sizes, contrasts, overlapping chart labels.
() => {
  const root = document.documentElement;
  const seen = (element) => {
    const box = element.getBoundingClientRect();
    const style = getComputedStyle(element);
    return box.width > 0 && box.height > 0 && style.visibility !== "hidden" && style.opacity !== "0" && !element.closest("[hidden], .hidden-label, #popup, .nicegui-error-popup, details:not([open]) > :not(summary)");
  };
  const parse = (colour) => {
    const found = colour.match(/[\d.]+/g);
    return found ? found.map(Number) : [0, 0, 0, 0];
  };
  const blend = (over, under) => {
    const alpha = over.length > 3 ? over[3] : 1;
    return [0, 1, 2].map((i) => over[i] * alpha + under[i] * (1 - alpha));
  };
  const ground = (element) => {
    const stack = [];
    for (let e = element; e; e = e.parentElement) stack.push(parse(getComputedStyle(e).backgroundColor));
    return stack.reverse().reduce((under, over) => blend(over, under), [255, 255, 255]);
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ratio = (a, b) => {
    const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const small = [], contrasts = [], overlaps = [];
  let text = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const words = walker.currentNode.data.trim();
    const element = walker.currentNode.parentElement;
    if (!words || ["SCRIPT", "STYLE", "OPTION", "TITLE"].includes(element.nodeName) || !seen(element)) continue;
    text += 1;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    if (size < 12) small.push(`${words.slice(0, 30)} (${size})`);
    const inSvg = element.ownerSVGElement;
    const colour = parse(inSvg ? style.fill : style.color);
    // A label over a chart's own mark has that mark as its ground, which a style cannot tell: charts are looked at.
    const under = ground(inSvg ? inSvg.parentElement : element);
    if (!(inSvg && style.fill === getComputedStyle(root).getPropertyValue("--surface"))) {
      contrasts.push({ words: words.slice(0, 30), ratio: Math.round(100 * ratio(blend(colour, under), under)) / 100 });
    }
  }
  for (const chart of document.querySelectorAll(".chart svg")) {
    const boxes = [...chart.querySelectorAll("text")].filter(seen).map((t) => [t.textContent, t.getBoundingClientRect()]);
    boxes.forEach(([a, p], i) => {
      for (const [b, q] of boxes.slice(i + 1)) {
        const x = Math.min(p.right, q.right) - Math.max(p.left, q.left);
        const y = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
        if (x > 1 && y > 3) overlaps.push(`"${a}" and "${b}" by ${Math.round(x)} x ${Math.round(y)}`);
      }
    });
  }
  const wide = [...document.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > root.clientWidth + 0.5 && seen(e)).slice(0, 4).map((e) => `${e.nodeName}.${e.getAttribute("class")}`);
  return { scrollWidth: root.scrollWidth, clientWidth: root.clientWidth, small, contrasts, overlaps, wide, text };
};
