"""Every problem type that a service or the gateway responds with, and what the caller can do about it."""

from typing import NamedTuple


class ProblemType(NamedTuple):
    """A problem type: the HTTP statuses that it is sent with, its title, and what the caller can do. Its URI is
    `urn:uplift:problem:` and its slug."""

    statuses: tuple[int, ...]
    title: str
    cure: str


PROBLEM_TYPES: dict[str, ProblemType] = {
    "about-nobody": ProblemType((422,), "About nobody", "Leave `agent` out: the form is about nobody."),
    "about-oneself": ProblemType((403,), "About oneself", "Let somebody else fill it in."),
    "account-there": ProblemType((409,), "Account there", "Use the account that there is."),
    "address-refused": ProblemType((409,), "Address refused", "Give an address in the public network, by https."),
    "address-unknown": ProblemType((503,), "Address unknown", "Try again later; check the name if it stays."),
    "agent-needed": ProblemType((422,), "Agent needed", "Name the `agent`."),
    "already-open": ProblemType((409,), "Already open", "Wait until it is completed."),
    "answer-too-large": ProblemType((413,), "Answer too large", "Send it without Idempotency-Key."),
    "application-there": ProblemType((409,), "Application there", "Delete it, and put it once it is gone."),
    "assignment-over": ProblemType((409,), "Assignment over", "Leave it: what is finished is part of the record."),
    "bad-answer": ProblemType((502,), "Bad answer", "Try again; then tell whoever runs the platform."),
    "bad-cursor": ProblemType((422,), "Bad cursor", "Pass the `next` of the page before, of the same list."),
    "bad-idempotency-key": ProblemType((422,), "Bad idempotency key", "Send 1 to 200 printable ASCII characters."),
    "bad-leaderboard": ProblemType((422,), "Bad leaderboard", "Mend what `errors` names."),
    "bad-parameters": ProblemType((422,), "Bad parameters", "Mend the parameters that `errors` names."),
    "bad-request": ProblemType((400,), "Bad request", "Send the request as HTTP has it."),
    "bad-rules": ProblemType((422,), "Bad rules", "Mend what `errors` names."),
    "bad-source": ProblemType((422,), "Bad source", "Mend what `errors` names."),
    "blueprint-rejected": ProblemType((422,), "Blueprint rejected", "Mend what `errors` names; nothing was applied."),
    "body-too-large": ProblemType((413,), "Body too large", "Send it in parts."),
    "body-too-slow": ProblemType((408,), "Body too slow", "Send it again, faster or in parts."),
    "busy": ProblemType((429,), "Busy", "Wait for `Retry-After` seconds, and send it again."),
    "changed-since": ProblemType(
        (412,), "Changed since", "Read it again, make your change to what you get, and send that with its ETag."
    ),
    "client-id-taken": ProblemType((409,), "Client id taken", "Choose another name."),
    "clock-back": ProblemType((409,), "Clock back", "A clock moves forward only."),
    "database-away": ProblemType((503,), "Database away", "Wait for `Retry-After` seconds, and try again."),
    "definition-missing": ProblemType(
        (404,), "Definition missing", "Ask whoever runs the platform: a document is missing from its store."
    ),
    "directory-behind": ProblemType((503,), "Directory behind", "Try again in a moment."),
    "email-taken": ProblemType((409,), "Email taken", "Choose another address."),
    "empty-range": ProblemType((422,), "Empty range", "Exchange `from` and `to`."),
    "forbidden": ProblemType((403,), "Forbidden", "Check the address."),
    "form-is-another-kind": ProblemType(
        (409,), "Form is another kind", "Choose another name for the new kind of form."
    ),
    "form-named-otherwise": ProblemType((422,), "Form named otherwise", "Write the name of the address in the body."),
    "form-not-published": ProblemType((409,), "Form not published", "Publish the form first."),
    "form-retired": ProblemType((409,), "Form retired", "PUT or publish the form to bring it back."),
    "gone": ProblemType((412,), "Gone", "Send it without If-Match to make it."),
    "headers-too-large": ProblemType((431,), "Headers too large", "Send fewer or shorter headers."),
    "hour-full": ProblemType((429,), "Hour full", "Wait for `Retry-After` seconds; send fewer records an hour."),
    "idempotency-key-reused": ProblemType((422,), "Idempotency key reused", "Use a new key for another request."),
    "invalid-answers": ProblemType((422,), "Invalid answers", "Mend the answers that `errors` names."),
    "invalid-fields": ProblemType((422,), "Invalid fields", "Mend the fields that `errors` names."),
    "invalid-form": ProblemType((422,), "Invalid form", "Mend what `errors` names."),
    "invalid-last-event-id": ProblemType((422,), "Invalid last event id", "Send the id of an event of this stream."),
    "invalid-model": ProblemType((422,), "Invalid model", "Mend the places that `errors` names."),
    "invalid-notification": ProblemType((422,), "Invalid notification", "Mend what `errors` names."),
    "invalid-token": ProblemType((401,), "Invalid token", "Get a new access token of the issuer."),
    "invalid-webhook": ProblemType((422,), "Invalid webhook", "Mend what `errors` names."),
    "invalid-webhook-name": ProblemType((422,), "Invalid webhook name", "Use a-z, 0-9 and `-`."),
    "issuer-away": ProblemType((503,), "Issuer away", "Wait for `Retry-After` seconds, and try again."),
    "keycloak-ails": ProblemType(
        (503,), "Keycloak ails", "Wait for `Retry-After` seconds; then ask whoever runs the platform."
    ),
    "keycloak-away": ProblemType((503,), "Keycloak away", "Wait for `Retry-After` seconds, and try again."),
    "keycloak-refused": ProblemType((409,), "Keycloak refused", "Do what `detail` says."),
    "kind-in-use": ProblemType((409,), "Kind in use", "Take away what it is used for first."),
    "last-admin": ProblemType((409,), "Last admin", "Make somebody else a tenant_admin first."),
    "leg-of-no-call": ProblemType((422,), "Leg of no call", "Send `interaction_id` beside `leg`."),
    "login-taken": ProblemType((409,), "Login taken", "Choose another login."),
    "logout-token-old": ProblemType((400,), "Logout token old", "For the issuer: send a token that was just made."),
    "logout-token-used": ProblemType((400,), "Logout token used", "For the issuer: send each token once."),
    "method": ProblemType((405,), "Method", "Use a method that the path takes."),
    "named-elsewhere": ProblemType(
        (409,), "Named elsewhere", "Change what `errors` names first, or publish all of it as a blueprint."
    ),
    "needs-keycloak": ProblemType(
        (409,), "Needs keycloak", "Ask whoever runs the platform to name its login provider."
    ),
    "nested-too-deeply": ProblemType((422,), "Nested too deeply", "Write it flatter."),
    "no-account-for-machines": ProblemType(
        (409,), "No account for machines", "Register an application with `protocol: machine`."
    ),
    "no-answer": ProblemType(
        (504,), "No answer", "Look whether it happened before you send it again, or send it with its Idempotency-Key."
    ),
    "no-draft": ProblemType((409,), "No draft", "Save a draft first."),
    "no-file": ProblemType((422,), "No file", "Send a form with one file."),
    "no-idempotency-key": ProblemType((422,), "No idempotency key", "Send it without the header."),
    "no-if-match": ProblemType((422,), "No if match", "Send it without the header."),
    "no-token": ProblemType((401,), "No token", "Send `Authorization: Bearer` and an access token."),
    "not-a-machine": ProblemType((409,), "Not a machine", "Name somebody of kind machine."),
    "not-found": ProblemType((404,), "Not found", "Check the address."),
    "not-started": ProblemType((409,), "Not started", "Start the assignment first."),
    "not-text": ProblemType((422,), "Not text", "Send it in UTF-8."),
    "not-utf-8": ProblemType((422,), "Not utf 8", "Save it as UTF-8, and send it again."),
    "not-your-agent": ProblemType((403,), "Not your agent", "Ask about yourself, or the people of your own teams."),
    "not-your-assignment": ProblemType((403,), "Not your assignment", "Only who was given it does this."),
    "not-your-person": ProblemType((403,), "Not your person", "Ask about yourself, or the people of your own units."),
    "not-your-submission": ProblemType((403,), "Not your submission", "Only its author, or a tenant_admin, does this."),
    "not-your-team": ProblemType((403,), "Not your team", "Ask for a board of your own teams."),
    "nothing-to-retry": ProblemType(
        (404,),
        "Nothing to retry",
        "Look at the endpoint's deliveries: only what failed or was cancelled is sent once more.",
    ),
    "other-kpi": ProblemType((422,), "Other kpi", "Write the name of the address in the document."),
    "other-leaderboard": ProblemType((422,), "Other leaderboard", "Write the name of the address in the body."),
    "other-rule": ProblemType((422,), "Other rule", "Write the name of the address in the body."),
    "other-tenant": ProblemType((403,), "Other tenant", "Ask in your own tenant."),
    "person-off": ProblemType(
        (
            403,
            409,
        ),
        "Person off",
        "Let an administrator switch the person on.",
    ),
    "platform-stays": ProblemType((409,), "Platform stays", "The platform's own tenant stays as it is."),
    "provider-ails": ProblemType(
        (503,), "Provider ails", "Wait for `Retry-After` seconds; then ask whoever runs the platform."
    ),
    "provider-away": ProblemType((503,), "Provider away", "Wait for `Retry-After` seconds, and try again."),
    "provider-refused": ProblemType((409,), "Provider refused", "Do what `detail` says."),
    "queue-full": ProblemType((429,), "Queue full", "Wait for `Retry-After` seconds, and send it again."),
    "range-too-long": ProblemType((422,), "Range too long", "Ask for 400 days at most, one range after another."),
    "real-time": ProblemType((409,), "Real time", "Only a simulated tenant has a clock to move."),
    "receipt-busy": ProblemType((409,), "Receipt busy", "Wait until it is done, or cancel it."),
    "receipt-finished": ProblemType((409,), "Receipt finished", "There is nothing left to cancel; it can be undone."),
    "replayed-before": ProblemType((409,), "Replayed before", "It was replayed already: look at what became of it."),
    "role-needed": ProblemType((403,), "Role needed", "Ask an administrator for the role that `detail` names."),
    "role-of-a-unit": ProblemType((403,), "Role of a unit", "Ask an administrator for the role in the whole tenant."),
    "rule-in-use": ProblemType((409,), "Rule in use", "Take it out of the leaderboards that it names, or delete them."),
    "service-away": ProblemType((503,), "Service away", "Wait for `Retry-After` seconds, and try again."),
    "services-not-asked": ProblemType(
        (503,), "Services not asked", "Try again: a service that has to check the blueprint did not answer."
    ),
    "session-ended": ProblemType((401,), "Session ended", "Sign in again."),
    "slug-taken": ProblemType((409,), "Slug taken", "Choose another slug."),
    "source-busy": ProblemType((409,), "Source busy", "Wait until its receipts are done, or cancel them."),
    "source-paused": ProblemType((409,), "Source paused", "Set the source's status to active."),
    "source-retired": ProblemType((409,), "Source retired", "PUT the source to bring it back."),
    "still-poison": ProblemType((422,), "Still poison", "Mend the cause that `detail` names first."),
    "still-referred-to": ProblemType(
        (409,), "Still referred to", "Take away what refers to it, or name what is there."
    ),
    "stored-unreadable": ProblemType((409,), "Stored unreadable", "Save it anew."),
    "submission-missing": ProblemType(
        (404,), "Submission missing", "Ask whoever runs the platform: a document is missing from its store."
    ),
    "submission-void": ProblemType((409,), "Submission void", "Submit a new one."),
    "template-in-use": ProblemType((409,), "Template in use", "Change or delete the rules that it names."),
    "template-not-published": ProblemType((409,), "Template not published", "Publish the template first."),
    "tenant-off": ProblemType((403,), "Tenant off", "Ask whoever runs the platform."),
    "text-in-use": ProblemType((409,), "Text in use", "Change or delete the rules that it names."),
    "there-already": ProblemType(
        (
            409,
            412,
        ),
        "There already",
        "Change the one that there is, or choose another name.",
    ),
    "too-deep": ProblemType((422,), "Too deep", "Write it flatter."),
    "too-large": ProblemType((413,), "Too large", "Send less at once."),
    "too-many": ProblemType((429,), "Too many", "Wait for `Retry-After` seconds, and try again."),
    "too-many-lines": ProblemType((422,), "Too many lines", "Split the file."),
    "too-many-rules": ProblemType((422,), "Too many rules", "Delete one first."),
    "too-many-streams": ProblemType((429,), "Too many streams", "Close a stream, or wait for `Retry-After` seconds."),
    "too-many-texts": ProblemType((422,), "Too many texts", "Delete one first."),
    "too-many-values": ProblemType((413,), "Too many values", "Send fewer at once."),
    "too-slow": ProblemType((408,), "Too slow", "Send it again, faster or in parts."),
    "took-too-long": ProblemType((422,), "Took too long", "Ask for less at once."),
    "two-agents": ProblemType((422,), "Two agents", "Name one person."),
    "unexpected": ProblemType(
        (500,), "Unexpected", "Try again; then tell whoever runs the platform, with the time and the path."
    ),
    "unit-in-use": ProblemType((409,), "Unit in use", "Move its people away first."),
    "units-below": ProblemType((409,), "Units below", "Move the units below it away first."),
    "unknown-account": ProblemType(
        (
            404,
            409,
        ),
        "Unknown account",
        "Make the account first.",
    ),
    "unknown-address": ProblemType((404,), "Unknown address", "Check the address."),
    "unknown-answer": ProblemType((422,), "Unknown answer", "Mend the answers that `errors` names."),
    "unknown-application": ProblemType((404,), "Unknown application", "Check the name."),
    "unknown-assignment": ProblemType((404,), "Unknown assignment", "Check the id."),
    "unknown-cut": ProblemType((422,), "Unknown cut", "Use one of the cuts that `detail` or `errors` names."),
    "unknown-dead-letter": ProblemType((404,), "Unknown dead letter", "Check the id, and the service."),
    "unknown-encoding": ProblemType((422,), "Unknown encoding", "Send plain or gzip."),
    "unknown-form": ProblemType((404,), "Unknown form", "Check the name."),
    "unknown-here": ProblemType((403,), "Unknown here", "Let an administrator add you to the tenant."),
    "unknown-identity-provider": ProblemType((404,), "Unknown identity provider", "The tenant has none of its own."),
    "unknown-interaction": ProblemType((404,), "Unknown interaction", "Check the id."),
    "unknown-kpi": ProblemType((404,), "Unknown kpi", "Check the name."),
    "unknown-leaderboard": ProblemType((404,), "Unknown leaderboard", "Check the name."),
    "unknown-names": ProblemType(
        (422,), "Unknown names", "Mend the names that `errors` tells, or publish what they name first."
    ),
    "unknown-notice": ProblemType((404,), "Unknown notice", "Check the id."),
    "unknown-org-unit": ProblemType((404,), "Unknown org unit", "Check the id or slug."),
    "unknown-person": ProblemType(
        (
            404,
            422,
        ),
        "Unknown person",
        "Check the id or slug.",
    ),
    "unknown-receipt": ProblemType((404,), "Unknown receipt", "Check the id."),
    "unknown-rule": ProblemType((404,), "Unknown rule", "Check the name."),
    "unknown-source": ProblemType((404,), "Unknown source", "Check the name, or make the source."),
    "unknown-submission": ProblemType((404,), "Unknown submission", "Check the id."),
    "unknown-template": ProblemType((404,), "Unknown template", "Check the name."),
    "unknown-tenant": ProblemType((404,), "Unknown tenant", "Check the slug."),
    "unknown-text": ProblemType((404,), "Unknown text", "Check its key; the list of texts has those that there are."),
    "unknown-version": ProblemType((404,), "Unknown version", "Check the number."),
    "unknown-webhook": ProblemType((404,), "Unknown webhook", "Check the name."),
    "unreadable-body": ProblemType((422,), "Unreadable body", "Send it in the type and the shape that are described."),
    "unreadable-document": ProblemType((422,), "Unreadable document", "Mend the place that `errors` names."),
    "unreadable-json": ProblemType((422,), "Unreadable json", "Mend the JSON."),
    "unstorable-text": ProblemType((422,), "Unstorable text", "Take the character out that `errors` names."),
    "unstorable-value": ProblemType((422,), "Unstorable value", "Send a value of usual size."),
    "unusable-header": ProblemType((422,), "Unusable header", "Send the header as it is described."),
    "upgrade": ProblemType((426,), "Upgrade", "Use HTTP/1.1 or HTTP/2."),
    "username-taken": ProblemType((409,), "Username taken", "Choose another username."),
    "vendor-fixed": ProblemType((409,), "Vendor fixed", "Make another source for another vendor."),
    "webhook-off": ProblemType((409,), "Webhook off", "Enable the endpoint first."),
    "withdrawn": ProblemType((409,), "Withdrawn", "Nothing is left to do: it was withdrawn."),
}
