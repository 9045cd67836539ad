// The switch between the themes; without it the page follows the system.
(function () {
  "use strict";
  var key = "otel-learning-theme";
  var order = ["automatic", "light", "dark"];
  var chosen = "automatic";
  try { chosen = localStorage.getItem(key) || "automatic"; } catch (error) { /* not allowed here */ }
  if (order.indexOf(chosen) < 0) { chosen = "automatic"; }

  function follow() {
    if (chosen === "automatic") { document.documentElement.removeAttribute("data-theme"); }
    else { document.documentElement.setAttribute("data-theme", chosen); }
  }

  follow();
  document.addEventListener("DOMContentLoaded", function () {
    var button = document.getElementById("theme");
    function say() { button.textContent = "Theme: " + chosen; }
    say();
    button.hidden = false;
    button.addEventListener("click", function () {
      chosen = order[(order.indexOf(chosen) + 1) % order.length];
      try { localStorage.setItem(key, chosen); } catch (error) { /* it lasts for this page */ }
      follow();
      say();
    });
  });
})();
