// Sends the request of a "Try it" form and shows the answer.
for (const form of document.querySelectorAll("form.try")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
    const address = form.dataset.path + (query.size ? `?${query}` : "");
    const status = form.querySelector("[data-status]");
    const answer = form.querySelector("[data-answer]");
    const started = performance.now();
    try {
      const response = await fetch(address);
      const text = await response.text();
      status.textContent = `GET ${address} → ${response.status} in ${Math.round(performance.now() - started)} ms`;
      try {
        answer.textContent = JSON.stringify(JSON.parse(text), null, 2);
      } catch {
        answer.textContent = text;
      }
      answer.hidden = false;
    } catch (error) {
      status.textContent = `GET ${address} did not reach the server: ${error.message}`;
    }
  });
}
