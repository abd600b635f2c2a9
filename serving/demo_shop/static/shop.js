// What the demo shop does besides the lists: it reports what the visitor does, and fills the lists again.

const { forget, refresh, track } = await import(document.body.dataset.widget);

if (document.documentElement.dataset.recConsent !== "granted") forget();

const product = document.querySelector("[data-item]");
if (product) {
  await track("view_item", product.dataset.item);
}

/** Report a form, send it, and fill the lists again where the page stays. */
async function send(form, submitter) {
  const body = new FormData(form, submitter);
  const items = body.get("add") ?? body.get("remove");
  const basket = [...document.querySelectorAll("[data-event=remove_from_cart] button")].map((button) => button.value);
  const order = { basket_id: `demo-${Date.now()}`, quantity: 1 };
  const details = form.dataset.event === "purchase" ? order : {};
  await Promise.all((items ? [items] : basket).map((item) => track(form.dataset.event, item, details)));
  const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(body) });
  const done = form.querySelector("[data-text]");
  if (!done) return location.assign(answer.url);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.getElementById("count").textContent = page.getElementById("count").textContent;
  done.textContent = done.dataset.text;
  return refresh();
}

for (const form of document.querySelectorAll("form[data-event]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form, event.submitter);
  });
}
