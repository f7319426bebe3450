// The channel of the drill's stand-in for Slack. Everything shown is made of DOM nodes and text
// nodes, never of markup, so that no message can be more than text.
"use strict";

const $ = (id) => document.getElementById(id);
const ROLES = {
  U0YOU: "responder", U0DANA: "commander", U0LEE: "commander", U0MAX: "in no group",
  U0GUEST: "guest", U0EXT: "another company",
};
const EMOJI = {
  white_check_mark: "✅", heavy_check_mark: "✔️", x: "❌", no_entry: "⛔", warning: "⚠️", lock: "🔒", key: "🔑",
  rotating_light: "🚨", fire: "🔥", hourglass: "⌛", hourglass_flowing_sand: "⏳", stopwatch: "⏱️", eyes: "👀",
  mag: "🔍", bell: "🔔", memo: "📝", book: "📖", tada: "🎉", arrows_counterclockwise: "🔄", rewind: "⏪", question: "❓",
};

let state = null;
const troubles = new Map();   // message ts -> what went wrong when a button was pressed
const busy = new Set();       // message ts or view id with a press under way
const folded = new Set();     // threads that were closed by hand
const unfolded = new Set();   // files that were opened by hand
const shown = new Map();      // message ts -> what its node was made of, and the node
let modalKey = "";

function h(tag, properties, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(9).filter((child) => child || child === 0));
  return node;
}

async function post(verb, body) {
  try {
    const answer = await fetch("/control/" + verb, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    return await answer.json();
  } catch {
    return { ok: false, error: "stand-in gone" };
  }
}

const me = () => $("who").value;
const nameOf = (user) => (state.members[user] ? state.members[user].real_name : user);

// --- text -------------------------------------------------------------------------------------

const unescaped = (text) => text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
const emoji = (name) => EMOJI[name] || `:${name}:`;

function link(url, text) {
  if (!/^https?:\/\//i.test(url)) return document.createTextNode(text || url);
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, text || url);
}

const mention = (text) => h("span", { class: "mention" }, text);

function bracketed(inner) {
  const bar = inner.indexOf("|");
  const [target, label] = bar < 0 ? [inner, ""] : [inner.slice(0, bar), inner.slice(bar + 1)];
  if (target.startsWith("@")) return mention("@" + nameOf(target.slice(1)));
  if (target.startsWith("#")) return mention("#" + channelName(target.slice(1)));
  if (target.startsWith("!subteam^")) return mention("@" + target.slice(9));
  if (target.startsWith("!date^")) return document.createTextNode(unescaped(label));
  if (target.startsWith("!")) return mention("@" + target.slice(1));
  if (!/^https?:/i.test(target)) return document.createTextNode(`<${unescaped(inner)}>`);
  return link(unescaped(target), unescaped(label));
}

const channelName = (id) => (state.channels[id] ? state.channels[id].name : id);

const INLINE = new RegExp([
  "`([^`\\n]+)`", "<([^<>\\n]+)>", ":([a-z0-9_+-]+):",
  "(?<![\\p{L}\\p{N}])\\*(?=\\S)([^*\\n]+?)(?<=\\S)\\*(?![\\p{L}\\p{N}])",
  "(?<![\\p{L}\\p{N}])_(?=\\S)([^_\\n]+?)(?<=\\S)_(?![\\p{L}\\p{N}])",
  "(?<![\\p{L}\\p{N}])~(?=\\S)([^~\\n]+?)(?<=\\S)~(?![\\p{L}\\p{N}])",
].join("|"), "gu");

function inline(text) {
  const nodes = [];
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    nodes.push(unescaped(text.slice(end, found.index)));
    const [whole, code, angle, face, bold, italic, strike] = found;
    if (code) nodes.push(h("code", {}, unescaped(code)));
    else if (angle) nodes.push(bracketed(angle));
    else if (face) nodes.push(emoji(face));
    else if (bold) nodes.push(h("strong", {}, inline(bold)));
    else if (italic) nodes.push(h("em", {}, inline(italic)));
    else nodes.push(h("s", {}, inline(strike)));
    end = found.index + whole.length;
  }
  nodes.push(unescaped(text.slice(end)));
  return nodes;
}

function mrkdwn(text) {
  return text.split(/```/).map((part, index, parts) => {
    if (index % 2 && index < parts.length - 1) {
      return h("pre", {}, unescaped(part.replace(/^\n|\n$/g, "")));
    }
    const open = index % 2 ? "```" : "";
    return (open + part).split(/((?:^|\n)(?:&gt;|>) ?[^\n]*)/).map((piece) => {
      const quoted = /^\n?(?:&gt;|>) ?([^\n]*)$/.exec(piece);
      return quoted ? h("blockquote", {}, inline(quoted[1])) : inline(piece);
    });
  });
}

function textObject(object) {
  const plain = object.type === "plain_text";
  const text = plain ? object.text.replace(/:([a-z0-9_+-]+):/g, (_, name) => emoji(name)) : "";
  return h("div", { class: "text" }, plain ? text : mrkdwn(object.text));
}

function styled(node, style = {}) {
  if (style.code) node = h("code", {}, node);
  if (style.bold) node = h("strong", {}, node);
  if (style.italic) node = h("em", {}, node);
  if (style.strike) node = h("s", {}, node);
  if (style.underline) node = h("u", {}, node);
  return node;
}

function richInline(element) {
  const { type, style } = element;
  if (type === "text") return styled(document.createTextNode(element.text), style);
  if (type === "link") return styled(link(element.url, element.text), style);
  if (type === "emoji") return document.createTextNode(emoji(element.name));
  if (type === "user") return mention("@" + nameOf(element.user_id));
  if (type === "usergroup") return mention("@" + element.usergroup_id);
  if (type === "channel") return mention("#" + channelName(element.channel_id));
  return mention("@" + element.range);
}

function richPart(part) {
  const inside = () => part.elements.map(richInline);
  if (part.type === "rich_text_preformatted") return h("pre", {}, inside());
  if (part.type === "rich_text_quote") return h("blockquote", { class: "text" }, inside());
  if (part.type === "rich_text_list") {
    const start = part.style === "ordered" && part.offset ? part.offset + 1 : null;
    return h(part.style === "ordered" ? "ol" : "ul", { start },
      part.elements.map((item) => h("li", { class: "text" }, item.elements.map(richInline))));
  }
  return h("div", { class: "text" }, inside());
}

// --- blocks -----------------------------------------------------------------------------------

function blockNode(block, place) {
  switch (block.type) {
    case "header": return h("div", { class: "block header", role: "heading", "aria-level": "3" }, textObject(block.text));
    case "divider": return h("hr", { class: "block" });
    case "context": return h("div", { class: "block context" }, block.elements.map(textObject));
    case "actions": return h("div", { class: "block actions" }, block.elements.map((each) => elementNode(each, place)));
    case "rich_text": return h("div", { class: "block" }, block.elements.map(richPart));
    case "input": return inputNode(block, place);
    default: return h("div", { class: "block section" },
      block.text && textObject(block.text),
      block.fields && h("div", { class: "fields" }, block.fields.map(textObject)),
      block.accessory && elementNode(block.accessory, place));
  }
}

function elementNode(element, place) {
  if (element.type !== "button") return h("span", { class: "hint" }, `(${element.type})`);
  return h("button", {
    type: "button", id: `b-${place.id}-${element.action_id}`, class: element.style,
    "aria-disabled": busy.has(place.id) ? "true" : null, "aria-label": element.accessibility_label,
    onclick: () => pressed(element, place),
  }, textObject(element.text).textContent);
}

async function pressed(element, place) {
  if (busy.has(place.id)) return;
  if (element.confirm && !(await confirmed(element.confirm))) return;
  if (element.url) window.open(element.url, "_blank", "noopener");
  const user = me();
  busy.add(place.id);
  troubles.delete(place.id);
  render();
  const answer = await post("press", { user, button: element.action_id, [place.kind]: place.id });
  busy.delete(place.id);
  if (!answer.ok) troubles.set(place.id, troubleText(answer.error));
  render();
}

function troubleText(error) {
  return {
    unacknowledged: "The app did not answer within 3 seconds. Press again if nothing changes.",
    no_socket: "The app is not connected, so the click is lost. Press again later.",
    no_such_button: "The message has changed meanwhile.",
    message_not_found: "The message is gone.",
  }[error] || `That did not work: ${error}`;
}

function confirmed(texts) {
  const dialog = $("confirm");
  return new Promise((resolve) => {
    const choose = (answer) => () => { dialog.close(); resolve(answer); };
    dialog.replaceChildren(
      h("h2", {}, texts.title.text),
      h("div", { class: "content" }, textObject(texts.text)),
      h("div", { class: "buttons" },
        h("button", { type: "button", autofocus: true, onclick: choose(false) }, texts.deny.text),
        h("button", { type: "button", class: texts.style || "primary", onclick: choose(true) }, texts.confirm.text)));
    dialog.oncancel = () => resolve(false);
    dialog.showModal();
  });
}

// --- messages ---------------------------------------------------------------------------------

function messageNode(message, replies) {
  const member = state.members[message.user];
  const own = message.shown_to !== null;
  const place = { kind: "message_ts", id: message.ts };
  const blocks = message.blocks || [];
  const moment = new Date(Number(message.ts) * 1000);
  const linked = location.pathname.endsWith("/p" + message.ts.replace(".", ""));
  const initials = nameOf(message.user).split(" ").map((word) => word[0]).join("").slice(0, 2).toUpperCase();
  return h("article", { class: ["message", own && "only-you", linked && "linked"].filter(Boolean).join(" ") },
    own && h("p", { class: "only-you-note" }, "Only visible to you"),
    h("div", { class: member && member.is_bot ? "avatar app" : "avatar", "aria-hidden": "true" }, initials),
    h("div", { class: "body" },
      h("div", { class: "byline" },
        h("strong", {}, nameOf(message.user)),
        member && member.is_bot ? h("span", { class: "badge" }, "APP") : null,
        h("time", { datetime: moment.toISOString() }, moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })),
        message.edited && h("span", { class: "edited" }, "(edited)")),
      blocks.length ? blocks.map((block) => blockNode(block, place)) : message.text && h("div", { class: "text block" }, mrkdwn(message.text)),
      (message.files || []).map(fileNode),
      troubles.has(message.ts) && h("p", { class: "trouble", role: "alert" }, troubles.get(message.ts)),
      replies && replies.length ? threadNode(message.ts, replies) : null));
}

function fileNode(described) {
  const file = state.files.find((each) => each.id === described.id);
  const node = h("details", { class: "file", open: unfolded.has(described.id) },
    h("summary", {}, described.title, " ", h("span", {}, `${described.name}, ${described.size} bytes`)),
    h("pre", {}, file && file.content !== null ? file.content : "(not uploaded)"));
  node.addEventListener("toggle", () => (node.open ? unfolded.add(described.id) : unfolded.delete(described.id)));
  return node;
}

function threadNode(ts, replies) {
  const count = replies.length === 1 ? "1 reply" : `${replies.length} replies`;
  const thread = h("details", { class: "thread", open: !folded.has(ts) },
    h("summary", {}, count),
    h("div", { class: "replies" }, replies.map((reply) => messageNode(reply))));
  thread.addEventListener("toggle", () => (thread.open ? folded.delete(ts) : folded.add(ts)));
  return thread;
}

// --- modals -----------------------------------------------------------------------------------

function inputNode(block, place) {
  const { element } = block;
  const error = place.errors[block.block_id];
  const id = `in-${block.block_id}-${element.action_id}`;
  const about = { id, name: id, "aria-invalid": error ? "true" : null, "aria-describedby": error ? id + "-problem" : null };
  const kept = place.entered[block.block_id];
  const label = [block.label.text, block.optional ? h("span", { class: "optional" }, " (optional)") : null];
  const problem = error && h("p", { class: "problem", id: id + "-problem" }, error);
  const hint = block.hint && h("p", { class: "hint" }, block.hint.text);
  const css = error ? "field wrong" : "field";
  if (element.type === "checkboxes") {
    const ticked = kept || (element.initial_options || []).map((option) => option.value);
    return h("fieldset", { class: css }, h("legend", {}, label), element.options.map((option) =>
      h("label", { class: "tick" }, h("input", { type: "checkbox", name: id, value: option.value, checked: ticked.includes(option.value) }),
        textObject(option.text))), problem, hint);
  }
  let field;
  if (element.type === "static_select") {
    const chosen = kept || (element.initial_option && element.initial_option.value);
    field = h("select", about, h("option", { value: "" }, element.placeholder ? element.placeholder.text : "Choose…"),
      element.options.map((option) => h("option", { value: option.value, selected: option.value === chosen }, option.text.text)));
  } else {
    const more = { placeholder: element.placeholder && element.placeholder.text };
    field = element.multiline ? h("textarea", { ...about, ...more }) : h("input", { type: "text", ...about, ...more });
    field.value = kept !== undefined && kept !== null ? kept : element.initial_value || "";
  }
  return h("div", { class: css }, h("label", { for: id }, label), field, problem, hint);
}

function entered(view) {
  const values = {};
  for (const block of view.blocks.filter((each) => each.type === "input")) {
    const { element } = block;
    const fields = document.getElementsByName(`in-${block.block_id}-${element.action_id}`);
    if (!fields.length) continue;
    values[block.block_id] = { [element.action_id]: element.type === "checkboxes"
      ? [...fields].filter((field) => field.checked).map((field) => field.value)
      : fields[0].value || null };
  }
  return values;
}

function renderModal() {
  const dialog = $("modal");
  const mine = state.views.filter((each) => each.open && each.user === me());
  const top = mine[mine.length - 1];
  const key = top ? JSON.stringify([top.view.id, top.view.hash, top.errors, busy.has(top.view.id), troubles.get(top.view.id)]) : "";
  if (key === modalKey) return;
  const same = top && modalKey && JSON.parse(modalKey)[0] === top.view.id;
  const before = same ? entered(top.view) : {};
  modalKey = key;
  if (!top) { dialog.close(); return; }
  const { view, errors } = top;
  const kept = Object.fromEntries(Object.entries(before).map(([block, actions]) => [block, Object.values(actions)[0]]));
  const place = { kind: "view_id", id: view.id, errors, entered: kept };
  const user = me();
  const trouble = errors[""] || troubles.get(view.id);
  const submit = async (event) => {
    event.preventDefault();
    if (!view.submit || busy.has(view.id)) return;
    const values = entered(view);
    busy.add(view.id);
    render();
    const answer = await post("submit", { user, view_id: view.id, values });
    busy.delete(view.id);
    if (!answer.ok && !answer.errors) troubles.set(view.id, troubleText(answer.error));
    render();
  };
  dialog.replaceChildren(h("form", { onsubmit: submit, novalidate: true },
    h("h2", {}, view.title.text),
    h("div", { class: "content" }, view.blocks.map((block) => blockNode(block, place)),
      trouble && h("p", { class: "trouble", role: "alert" }, trouble)),
    h("div", { class: "buttons" },
      h("button", { type: "button", onclick: () => post("close_view", { user, view_id: view.id }) }, view.close ? view.close.text : "Close"),
      view.submit && h("button", { type: "submit", class: "primary", "aria-disabled": busy.has(view.id) ? "true" : null }, view.submit.text))));
  dialog.oncancel = (event) => { event.preventDefault(); post("close_view", { user, view_id: view.id }); };
  if (!dialog.open) dialog.showModal();
}

// --- the page ---------------------------------------------------------------------------------

function renderWho() {
  const people = Object.values(state.members).filter((member) => !member.is_bot && !member.deleted);
  const key = people.map((member) => member.id + member.real_name).join();
  if ($("who").dataset.key === key) return;
  const chosen = me() || location.hash.slice(1) || "U0DANA";
  $("who").replaceChildren(...people.map((member) => h("option", { value: member.id, selected: member.id === chosen },
    ROLES[member.id] && !member.real_name.includes("(") ? `${member.real_name} – ${ROLES[member.id]}` : member.real_name)));
  $("who").dataset.key = key;
}

function renderStatus() {
  const status = $("status");
  const down = !state.listening;
  status.className = down || !state.sockets ? "warn" : "";
  status.textContent = down ? "Slack is down: the app cannot reach it."
    : !state.sockets ? "runbookd is not connected: a click now is lost."
    : state.sockets === 1 ? "runbookd is connected." : `runbookd is connected ${state.sockets} times.`;
}

function render() {
  if (!state) return;
  renderWho();
  renderStatus();
  const user = me();
  const seen = state.messages.filter((each) => each.channel === "C0INCIDENT" && (each.shown_to === null || each.shown_to === user));
  const isReply = (each) => each.thread_ts && each.thread_ts !== each.ts;
  const atEnd = window.innerHeight + window.scrollY >= document.body.scrollHeight - 80;
  putInOrder($("channel"), seen.filter((each) => !isReply(each))
    .map((each) => nodeFor(each, seen.filter((other) => isReply(other) && other.thread_ts === each.ts))));
  $("empty").hidden = seen.length > 0;
  renderModal();
  if (atEnd) window.scrollTo(0, document.body.scrollHeight);
}

// The node of a message and its thread, the same one as long as nothing about them changes: so
// focus, selection and a screen reader's place stay where they are.
function nodeFor(message, replies) {
  const about = [message, ...replies].map((each) => [each, busy.has(each.ts), troubles.get(each.ts)]);
  const key = JSON.stringify([about, state.members, state.channels]);
  const before = shown.get(message.ts);
  if (before && before.key === key) return before.node;
  const focused = before && before.node.contains(document.activeElement) ? document.activeElement.id : "";
  const node = messageNode(message, replies);
  shown.set(message.ts, { key, node });
  if (before) before.node.replaceWith(node);
  if (focused) document.getElementById(focused)?.focus();
  return node;
}

function putInOrder(parent, nodes) {
  nodes.forEach((node, index) => {
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] || null);
  });
  while (parent.children.length > nodes.length) parent.lastElementChild.remove();
}

async function follow() {
  for (;;) {
    try {
      const after = state ? state.version : -1;
      const answer = await fetch(`/control/state?after=${after}&wait=${state ? 20 : 0}`);
      state = await answer.json();
      render();
    } catch {
      $("status").className = "warn";
      $("status").textContent = "The drill is over: the stand-in does not answer any more.";
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
}

$("who").addEventListener("change", () => { location.hash = me(); modalKey = '["?"]'; render(); });
follow();
