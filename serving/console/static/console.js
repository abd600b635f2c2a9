// The part of the console that needs a script: forms that submit themselves, and the page that tries the calls.

for (const select of document.querySelectorAll("select[data-submits]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

// An answer that is an error is shown where the answer was expected.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status >= 400) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});

function tryCalls(form) {
  const code = document.getElementById("code");
  const answer = document.getElementById("answer");
  const status = document.getElementById("status");
  const tabs = [...document.querySelectorAll("[data-language]")];
  let language = "curl";

  const show = () => {
    code.textContent = WRITERS[language](callOf(form));
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab.dataset.language === language));
    }
  };
  for (const tab of tabs) {
    tab.addEventListener("click", () => {
      language = tab.dataset.language;
      show();
    });
  }
  form.addEventListener("input", show);
  document.getElementById("copy").addEventListener("click", () => navigator.clipboard.writeText(code.textContent));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const call = callOf(form);
    status.textContent = "…";
    try {
      const response = await fetch(call.url, { method: call.method, headers: call.headers, body: call.body });
      const text = await response.text();
      status.textContent = String(response.status);
      answer.textContent = pretty(text);
    } catch (error) {
      status.textContent = "–";
      answer.textContent = String(error);
    }
  });
  show();
}

function callOf(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  for (const field of form.querySelectorAll("[data-in]")) {
    if (field.dataset.in === "path") {
      path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
    } else if (field.value !== "") {
      query.append(field.name, field.value);
    }
  }
  const headers = {};
  const key = form.querySelector("[data-key]");
  if (key && key.value) {
    headers.Authorization = `Bearer ${key.value}`;
  }
  const body = form.querySelector("[data-body]");
  if (body) {
    headers["Content-Type"] = "application/json";
  }
  const url = query.size ? `${path}?${query}` : path;
  return { method: form.dataset.method, url, headers, body: body ? body.value : undefined };
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const hidden = (name, value) => (name === "Authorization" ? "Bearer $RECSYS_KEY" : value);

const WRITERS = {
  curl({ method, url, headers, body }) {
    const lines = [`curl -X ${method} ${shell(location.origin + url)}`];
    for (const [name, value] of Object.entries(headers)) {
      lines.push(`-H "${name}: ${hidden(name, value)}"`);
    }
    if (body) {
      lines.push(`--data ${shell(body)}`);
    }
    return lines.join(" \\\n  ");
  },
  Python({ method, url, headers, body }) {
    const named = Object.keys(headers).map((name) =>
      name === "Authorization" ? '"Authorization": f"Bearer {key}"' : `"${name}": "${headers[name]}"`,
    );
    const parts = [`"${method}", ${JSON.stringify(location.origin + url)}`];
    if (named.length) {
      parts.push(`headers={${named.join(", ")}}`);
    }
    if (body) {
      parts.push(`content=${JSON.stringify(body)}`);
    }
    return `import httpx\n\nresponse = httpx.request(${parts.join(", ")})\nresponse.raise_for_status()\nprint(response.json())`;
  },
  JavaScript({ method, url, headers, body }) {
    const options = { method, headers: Object.fromEntries(Object.keys(headers).map((name) => [name, headers[name]])) };
    if (options.headers.Authorization) {
      options.headers.Authorization = "Bearer …";
    }
    if (body) {
      options.body = body;
    }
    return `const response = await fetch(${JSON.stringify(location.origin + url)}, ${JSON.stringify(options, null, 2)});\nconsole.log(await response.json());`;
  },
};

// The arrow keys move from a point of a map to the nearest one in their direction.
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function middle(link) {
  const point = link.querySelector("circle");
  return [point.cx.baseVal.value, point.cy.baseVal.value];
}

for (const map of document.querySelectorAll("svg.map")) {
  map.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    const here = event.target.closest("a");
    if (!step || !here) {
      return;
    }
    event.preventDefault();
    const [x, y] = middle(here);
    let nearest = null;
    let least = Infinity;
    for (const link of map.querySelectorAll("a")) {
      const [dx, dy] = [middle(link)[0] - x, middle(link)[1] - y];
      const ahead = dx * step[0] + dy * step[1];
      const aside = Math.abs(dx * step[1]) + Math.abs(dy * step[0]);
      if (ahead > 0 && ahead + 2 * aside < least) {
        [nearest, least] = [link, ahead + 2 * aside];
      }
    }
    if (nearest) {
      here.setAttribute("tabindex", "-1");
      nearest.setAttribute("tabindex", "0");
      nearest.focus();
    }
  });
}

const form = document.getElementById("try");
if (form) {
  tryCalls(form);
}
