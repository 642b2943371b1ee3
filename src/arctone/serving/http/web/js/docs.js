// The OpenAPI document as a page: every operation with its fields, and a form that calls it.

const METHODS = ["get", "post", "delete"];
// Fields that make a first call quick and complete.
const EXAMPLES = {
  JobRequest: { prompt: "rain on a tin roof", duration_seconds: 3 },
  SoundGeneration: { text: "rain on a tin roof", duration_seconds: 3 },
  AudioGeneration: { prompt: "rain on a tin roof", duration_seconds: 3, response_format: "wav" },
  SpeechRequest: { input: "rain on a tin roof", duration_seconds: 3 },
};

function element(name, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

function resolve(schema, all) {
  return schema?.$ref ? all[schema.$ref.split("/").pop()] : schema ?? {};
}

function kind(schema, all) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map((one) => kind(one, all)).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  const type = [schema.type ?? "any"].flat().join(" or ");
  const low = schema.minimum ?? schema.exclusiveMinimum;
  const range = low === undefined && schema.maximum === undefined ? "" : ` ${low ?? "…"} to ${schema.maximum ?? "…"}`;
  return type + range + (schema["x-unit"] ? ` ${schema["x-unit"]}` : "");
}

function fields(schema, all) {
  const rows = Object.entries(resolve(schema, all).properties ?? {}).map(([name, one]) =>
    element("tr", {}, element("td", {}, element("code", { textContent: name })), element("td", { textContent: kind(one, all) }),
      element("td", { textContent: resolve(one, all).description ?? "" })));
  if (!rows.length) return "";
  const head = element("tr", {}, ...["Field", "Type", "Meaning"].map((textContent) => element("th", { textContent })));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
}

async function call(method, path, form, body, output) {
  let address = path;
  const query = new URLSearchParams();
  const headers = {};
  for (const input of form.querySelectorAll("input[name]")) {
    if (!input.value) continue;
    if (input.dataset.in === "path") address = address.replace(`{${input.name}}`, encodeURIComponent(input.value));
    else if (input.dataset.in === "query") query.set(input.name, input.value);
    else headers[input.name] = input.value;
  }
  const token = document.getElementById("token").value;
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  output.replaceChildren(element("p", { textContent: "Waiting for the answer …" }));
  const answer = await fetch(query.size ? `${address}?${query}` : address, { method: method.toUpperCase(), headers, body: body?.value });
  const type = answer.headers.get("content-type") ?? "";
  const shown = [element("p", { textContent: `${answer.status} ${type}` })];
  if (type.startsWith("audio/")) {
    shown.push(element("audio", { controls: true, src: URL.createObjectURL(await answer.blob()) }));
  } else {
    const text = await answer.text();
    const isJson = type.startsWith("application/json");
    shown.push(element("pre", { tabIndex: 0, textContent: isJson ? JSON.stringify(JSON.parse(text), null, 2) : text }));
  }
  output.replaceChildren(...shown);
}

function operation(method, path, described, shared, all) {
  const parameters = [...shared, ...(described.parameters ?? [])];
  const content = described.requestBody?.content ?? {};
  const json = content["application/json"]?.schema;
  const box = element("details", {}, element("summary", {}, element("b", { textContent: method.toUpperCase() }),
    element("code", { textContent: path }), ` ${described.summary ?? ""}`));
  const form = element("form");
  for (const one of parameters) {
    const input = element("input", { name: one.name, required: Boolean(one.required) });
    input.dataset.in = one.in;
    form.append(element("p", {}, element("label", {}, element("code", { textContent: one.name }), ` (${one.in}) ${one.description ?? ""} `, input)));
  }
  let body;
  if (json) {
    form.append(fields(json, all));
    const example = EXAMPLES[json.$ref?.split("/").pop()] ?? {};
    body = element("textarea", { value: JSON.stringify(example, null, 2), spellcheck: false });
    form.append(element("p", {}, element("label", {}, "Body ", body)));
  }
  const types = Object.keys(content).filter((type) => type !== "application/json");
  if (types.length) form.append(element("p", { textContent: `Also takes ${types.join(", ")}.` }));
  const output = element("div");
  if (json || !described.requestBody) form.append(element("button", { textContent: "Call" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    call(method, path, form, body, output).catch((problem) => output.replaceChildren(element("p", { textContent: String(problem) })));
  });
  const answers = Object.entries(described.responses).map(([status, one]) => element("li", {}, element("b", { textContent: `${status} ` }), one.description));
  box.append(form, output, element("h3", { textContent: "Answers" }), element("ul", {}, ...answers));
  return box;
}

async function show() {
  const tokenRow = document.getElementById("token-row");
  const token = document.getElementById("token");
  const headers = token.value ? { Authorization: `Bearer ${token.value}` } : {};
  const answer = await fetch("/openapi.json", { headers });
  const main = document.getElementById("operations");
  if (answer.status === 401) {
    tokenRow.hidden = false;
    main.replaceChildren(element("p", { textContent: "This server needs its token." }));
    token.addEventListener("change", show, { once: true });
    return;
  }
  const described = await answer.json();
  document.getElementById("version").textContent = described.info.version;
  const all = described.components.schemas;
  main.replaceChildren(...Object.entries(described.paths).flatMap(([path, item]) => METHODS.filter((method) => item[method])
    .map((method) => operation(method, path, item[method], item.parameters ?? [], all))));
}

show();
