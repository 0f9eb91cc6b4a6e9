/* Stands before analytics-next: the bundle shall ask the host it was loaded from, over http as over https, for the key in its address. */
var restore = (function () {
  var script = document.currentScript;
  var found = script && /^(.*)\/analytics\.js\/v1\/([^/?#]+)\//.exec(script.src);
  if (!found) return function () {};
  var name = script.getAttribute("data-global-segment-analytics-key") || "analytics";
  var buffer = (window[name] = window[name] || []);
  buffer._cdn = found[1];
  buffer._writeKey = buffer._writeKey || decodeURIComponent(found[2]);
  if (name === "analytics") return function () {};
  // The bundle looks for `_cdn` under its usual name before it learns of another one: lent for as long as that takes.
  var had = "analytics" in window, own = window.analytics;
  window.analytics = { _cdn: found[1] };
  return function () {
    if (had) window.analytics = own;
    else delete window.analytics;
  };
})();
