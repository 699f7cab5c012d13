// A classic script in the head: the theme stands before the first paint. The rest of it is in appearance.js.
(() => {
  const theme = localStorage.getItem("llmrec-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
