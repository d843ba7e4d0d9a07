// The one line that says what is wrong, or that something is still to come.

const place = document.getElementById("notice");

export function say(text) {
  place.textContent = text;
  place.hidden = false;
}

export function silence() {
  place.hidden = true;
}
