// Signing in at the issuer by authorization code with PKCE, and asking who one is. The access token is kept in memory
// only; the refresh token and the ID token last as long as the tab.
"use strict";

const config = JSON.parse(document.getElementById("config").textContent);
const here = location.origin + "/";
const kept = sessionStorage;
const find = (id) => document.getElementById(id);
let provider = null;
let access = null;
let timer = null;

const encode = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const random = () => encode(crypto.getRandomValues(new Uint8Array(32)));

function show(person, problem) {
  find("sign-in").hidden = person !== null;
  find("sign-out").hidden = person === null;
  find("who").textContent = person === null ? "You are not signed in." : person;
  find("problem").textContent = problem || "";
}

async function discovered() {
  if (provider === null) {
    const answer = await fetch(config.issuer + "/.well-known/openid-configuration");
    if (!answer.ok) throw new Error("The sign-in is not reachable.");
    provider = await answer.json();
    if (provider.issuer !== config.issuer) throw new Error("The sign-in is not the one that is configured here.");
  }
  return provider;
}

async function signIn() {
  const ask = { state: random(), nonce: random(), verifier: random() };
  kept.setItem("ask", JSON.stringify(ask));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(ask.verifier));
  const query = new URLSearchParams({
    response_type: "code", client_id: config.client_id, redirect_uri: here, scope: config.scope, state: ask.state,
    nonce: ask.nonce, code_challenge: encode(new Uint8Array(digest)), code_challenge_method: "S256",
  });
  location.assign((await discovered()).authorization_endpoint + "?" + query);
}

async function ask(form) {
  const answer = await fetch((await discovered()).token_endpoint, {
    method: "POST",
    body: new URLSearchParams({ client_id: config.client_id, ...form }),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error_description || body.error || "No token was given.");
  access = body.access_token;
  if (body.id_token) kept.setItem("id_token", body.id_token);
  if (body.refresh_token) kept.setItem("refresh_token", body.refresh_token);
  clearTimeout(timer);
  timer = setTimeout(() => refresh().catch(signedOut), Math.max(body.expires_in - 30, 5) * 1000);
  return body;
}

async function finish(query) {
  const asked = JSON.parse(kept.getItem("ask") || "{}");
  kept.removeItem("ask");
  history.replaceState(null, "", "/");
  if (!asked.state || query.get("state") !== asked.state) throw new Error("This sign-in was not begun in this tab.");
  if (query.has("iss") && query.get("iss") !== config.issuer) throw new Error("Somebody else answered the sign-in.");
  if (query.has("error")) throw new Error(query.get("error_description") || query.get("error"));
  const tokens = await ask({
    grant_type: "authorization_code", code: query.get("code"), redirect_uri: here, code_verifier: asked.verifier,
  });
  const claims = JSON.parse(atob(tokens.id_token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
  if (claims.nonce !== asked.nonce) throw new Error("The sign-in answers another question.");
}

const refresh = () => ask({ grant_type: "refresh_token", refresh_token: kept.getItem("refresh_token") });

async function me() {
  const answer = await fetch("/api/identity/v1/me", { headers: { authorization: "Bearer " + access } });
  const body = await answer.json();
  if (answer.status === 401) return signedOut(new Error(body.detail));
  if (!answer.ok) return show("Signed in, but not known here.", body.detail);
  const roles = body.roles.map((each) => each.role).join(", ") || "no role";
  show(`${body.person.display_name} at ${body.tenant.name} (${roles})`);
}

function signedOut(error) {
  access = null;
  clearTimeout(timer);
  kept.clear();
  show(null, error && error.message);
}

async function signOut() {
  const query = new URLSearchParams({ client_id: config.client_id, post_logout_redirect_uri: here });
  const hint = kept.getItem("id_token");
  if (hint) query.set("id_token_hint", hint);
  signedOut();
  location.assign((await discovered()).end_session_endpoint + "?" + query);
}

async function start() {
  const query = new URLSearchParams(location.search);
  if (query.has("code") || query.has("error")) await finish(query);
  else if (kept.getItem("refresh_token")) await refresh();
  if (access === null) return show(null);
  await me();
}

find("sign-in").addEventListener("click", () => signIn().catch(signedOut));
find("sign-out").addEventListener("click", () => signOut().catch(signedOut));
find("again").addEventListener("click", () => (access === null ? start() : me()).catch(signedOut));
start().catch(signedOut);
