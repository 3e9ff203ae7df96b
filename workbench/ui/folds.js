// Gradio runs this once, as the body of a function (element, trigger, props, server, upload, watch). What a part of a page shows
// is put in place anew whenever there is more of it, and a fold that a person had opened would close with each word.

const FOLDS = 'details.wb-thoughts, details.wb-folded';
const opened = new WeakMap();  // part of the page -> places of its open folds

function watched(part) {
  if (opened.has(part)) return opened.get(part);
  const places = new Set();
  opened.set(part, places);
  // Gradio puts new elements in place, or takes from those that stay what the new text does not have.
  new MutationObserver(() => {
    const folds = part.querySelectorAll(FOLDS);
    if (!folds.length) places.clear();  // something else is shown there
    folds.forEach((fold, place) => { if (places.has(place) && !fold.open) fold.open = true; });
  }).observe(part, { childList: true, subtree: true, attributeFilter: ['open'] });
  return places;
}

// A click, also by the keyboard, and not `toggle`, which comes later: a part that grows may be put in place anew before it.
document.addEventListener('click', ({ target }) => {
  const fold = target.closest?.('summary')?.parentElement;
  const part = fold?.matches(FOLDS) && fold.closest('[id^="wb-"]');
  if (!part) return;
  const place = [...part.querySelectorAll(FOLDS)].indexOf(fold);
  if (fold.open) watched(part).delete(place);
  else watched(part).add(place);
}, true);
