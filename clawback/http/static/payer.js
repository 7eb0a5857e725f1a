// Says early what the server would say of an account: its length and its check digits.
"use strict";
(() => {
  const account = document.getElementById("account");
  const said = document.getElementById("account-fault");
  const kind = document.getElementById("accountType");
  if (!account || !said) return;

  const plain = (text) => text.replace(/[ .\-/()]/g, "");
  const mod11 = (values, weights) => {
    const rest = values.reduce((sum, value, place) => sum + value * weights[place], 0) % 11;
    return rest < 2 ? 0 : 11 - rest;
  };
  const clabe = (text) => {
    const sum = [...text.slice(0, 17)]
      .reduce((total, digit, place) => total + (Number(digit) * [3, 7, 1][place % 3]) % 10, 0);
    return Number(text[17]) === (10 - (sum % 10)) % 10;
  };
  const checked = (text, head, weights) => {
    const values = [...text].map((one) => one.charCodeAt(0) - 48);
    const first = mod11(values.slice(0, head), weights.slice(1));
    const second = mod11(values.slice(0, head + 1), weights);
    return new Set(text).size > 1 && values[head] === first && values[head + 1] === second;
  };
  const cpf = (text) => checked(text, 9, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
  const cnpj = (text) => checked(text, 12, [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]);

  const form = () => {
    if (account.dataset.rail === "spei") return { length: 18, shape: /^\d+$/, isGood: clabe };
    if (kind && kind.value === "CPF") return { length: 11, shape: /^\d+$/, isGood: cpf };
    if (kind && kind.value === "CNPJ") {
      return { length: 14, shape: /^[0-9A-Z]{0,12}\d{0,2}$/, isGood: cnpj };
    }
    return null;
  };
  const say = (text, isGood) => {
    said.textContent = text;
    said.classList.toggle("good", isGood);
    if (isGood || !text) account.removeAttribute("aria-invalid");
    else account.setAttribute("aria-invalid", "true");
  };
  const look = (isDone) => {
    const rule = form();
    const text = plain(account.value).toUpperCase();
    if (!rule || !text) return say("", false);
    if (text.length < rule.length) return say(isDone ? account.dataset.length : "", false);
    if (text.length > rule.length || !rule.shape.test(text)) {
      return say(account.dataset.length, false);
    }
    return rule.isGood(text) ? say(account.dataset.good, true) : say(account.dataset.checkDigit, false);
  };
  account.addEventListener("input", () => look(false));
  account.addEventListener("blur", () => look(true));
  if (kind) kind.addEventListener("change", () => look(false));
})();
