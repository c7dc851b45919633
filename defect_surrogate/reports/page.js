"use strict";
(() => {
  const palettes = { light: { ink: "#1c2024", grid: "#d9dde1" }, dark: { ink: "#e4e7ea", grid: "#3c4248" } };
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let printing = false;

  const layoutOf = (layout) => {
    const palette = palettes[dark.matches && !printing ? "dark" : "light"];
    const themed = Object.assign({}, layout, {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 13, color: palette.ink },
    });
    for (const name of ["xaxis", "yaxis"]) {
      if (layout[name]) {
        themed[name] = Object.assign({}, layout[name], { gridcolor: palette.grid, linecolor: palette.ink });
      }
    }
    return themed;
  };

  const draw = (place) => {
    const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
    const isView = place.classList.contains("view");
    const options = { responsive: true, displaylogo: false, displayModeBar: isView ? false : "hover", scrollZoom: isView };
    Plotly.newPlot(place, figure.data, layoutOf(figure.layout), options);
    place.dataset.drawn = "yes";
  };

  const remove = (place) => {
    Plotly.purge(place);
    delete place.dataset.drawn;
  };

  const places = [...document.querySelectorAll(".plot")];
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        const place = entry.target;
        if (entry.isIntersecting && !place.dataset.drawn) {
          draw(place);
        } else if (!entry.isIntersecting && place.dataset.drawn && place.classList.contains("view")) {
          remove(place);
        }
      }
    },
    { rootMargin: "400px" },
  );
  places.forEach((place) => watcher.observe(place));

  const redraw = () => places.filter((place) => place.dataset.drawn).forEach(draw);
  dark.addEventListener("change", redraw);
  window.addEventListener("beforeprint", () => {
    printing = true;
    places.filter((place) => place.dataset.drawn || !place.classList.contains("view")).forEach(draw);
  });
  window.addEventListener("afterprint", () => {
    printing = false;
    redraw();
  });
})();
