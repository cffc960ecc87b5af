"use strict";
// Draws the maps of a page, gives them the page's colours, and lets keys step through their images.
(async () => {
  const data = JSON.parse(document.getElementById("map-data").textContent);
  document.documentElement.classList.add("scripted");
  Bokeh.logger.set_level("error");
  await Bokeh.embed.embed_items(data.docs, data.items);
  const models = Bokeh.documents.flatMap((one) => [...one.all_models]);

  function paint() {
    const style = getComputedStyle(document.documentElement);
    for (const model of models) {
      for (const tag of model.tags) {
        const [property, variable] = String(tag).split("=");
        model[property] = style.getPropertyValue(`--${variable}`).trim();
      }
    }
  }
  paint();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);

  for (const map of document.querySelectorAll(".map.live")) {
    const rows = models.find((model) => model.name === map.id);
    const told = map.querySelector(".map-told");
    const column = (name) => rows.get_column(name);
    // an image is in the page once, and shown in every row that is of it
    const pictures = Array.from(column("picture"), (at) => data.pictures[at]);
    rows.data = { ...rows.data, picture: pictures };
    const hint = told.textContent;
    let at = -1;

    function tell() {
      const picked = rows.selected.indices;
      if (picked.length === 0) {
        told.replaceChildren(hint);
        return;
      }
      at = picked[0];
      const twin = column("twin")[at];
      if (picked.length === 1 && twin >= 0) {
        rows.selected.indices = [at, twin];
        return;
      }
      const image = new Image(56, 56);
      image.src = column("picture")[at];
      image.alt = "";
      const what = [column("name")[at], column("what")[at], column("id")[at]];
      told.replaceChildren(image, what.filter((part) => part !== "").join(", "));
    }
    rows.selected.properties.indices.change.connect(tell);

    map.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.target !== map || step === undefined) return;
      event.preventDefault();
      const many = column("id").length;
      const twin = column("twin");
      do {
        at = at < 0 && step < 0 ? many - 1 : (at + step + many) % many;
      } while (twin[at] >= 0 && twin[at] < at);
      rows.selected.indices = [at];
    });
  }
  document.documentElement.dataset.maps = "drawn";
})();
