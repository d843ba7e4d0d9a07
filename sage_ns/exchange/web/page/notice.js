// The notice on the page: an error, or that the page is loading.

const place = document.getElementById("notice");

export function showNotice(text) {
  place.textContent = text;
  place.hidden = false;
}

export function hideNotice() {
  place.hidden = true;
}
