// A part of a page: HTML from the server that changes only where it differs, so that focus, scroll, selection and hover stay.

function morph(old, fresh) {
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  }
  morphChildren(old, fresh);
}

function morphChildren(old, fresh) {
  const wanted = [...fresh.childNodes];
  wanted.forEach((node, i) => {
    const there = old.childNodes[i];
    if (!there) old.appendChild(node);
    else if (there.nodeType !== node.nodeType || there.nodeName !== node.nodeName) old.replaceChild(node, there);
    else if (node.nodeType !== Node.ELEMENT_NODE) there.data === node.data || (there.data = node.data);
    else morph(there, node);
  });
  while (old.childNodes.length > wanted.length) old.lastChild.remove();
}

export default {
  template: `<component :is="tag"></component>`,
  props: { content: String, tag: String },
  mounted() {
    this.$el.innerHTML = this.content;
  },
  watch: {
    content(html) {
      const fresh = document.createElement("template");
      fresh.innerHTML = html;
      morphChildren(this.$el, fresh.content);
    },
  },
};
