// Says that a choice is not saved yet; saving itself is an ordinary form.
const form = document.getElementById("choices");
form.addEventListener("change", () => {
  document.getElementById("unsaved").textContent = "Not saved yet";
});
