package problem

import "ringdown/protocol"

// Page tells about one code of the protocol, for whoever is given it.
type Page struct {
	Code    protocol.Code `json:"code"`
	Status  int           `json:"status"` // in HTTP, where there is nothing more exact
	Title   string        `json:"title"`
	Means   string        `json:"means"`
	Final   string        `json:"final"` // whether to try again
	Do      []string      `json:"do"`
	Example Example       `json:"example"`
	Href    string        `json:"href"`
}

// Example is something that is refused, and what is said of it.
type Example struct {
	Sent   string `json:"sent"`
	Answer string `json:"answer"`
}

// Pages are all codes, in the order of the protocol's document.
var Pages = []Page{
	{
		Code: protocol.CodeBadRequest, Title: "It cannot be understood",
		Means: "The message or the request is not what the protocol has at this place: broken JSON, a field that is missing or has another type, a name with a character that names cannot have, a method that the address does not do.",
		Final: "Final. The same bytes are refused again.",
		Do: []string{
			"Read the message: it names the field, and for broken JSON the byte.",
			"Look at did_you_mean and reason, if they are there.",
			"Over a WebSocket: a connection that goes on sending what cannot be understood is closed with 4000.",
		},
		Example: Example{`{"event":"order-created","data":{"id":7}}`,
			`{"code":"bad_request","detail":"the body has a field \"event\", and it can have type, data, data64, key, dedupe; did you mean type?","did_you_mean":"type","reason":"field"}`},
	},
	{
		Code: protocol.CodeUnauthorized, Title: "No token, or not a good one",
		Means: "Nothing says who you are: there is no credential, or it has expired, is signed with another key, or is not a token at all.",
		Final: "Final for this token. Come back with a new one.",
		Do: []string{
			"Fetch a new token from your backend, and send it as Authorization: Bearer …, or over an open connection in {\"type\":\"auth\",\"token\":\"…\"}.",
			"The server's log says which check failed; clients are not told.",
		},
		Example: Example{`GET /v1/connections`, `{"code":"unauthorized","detail":"present a server key or a user token: Authorization: Bearer …","reason":"credential"}`},
	},
	{
		Code: protocol.CodeForbidden, Title: "Not allowed",
		Means: "The server knows who asks, and it is not allowed: by the channel's rule, by the capabilities of the token, by the page's origin, or because only a server key may do it.",
		Final: "Final, until the rule or the token is another one.",
		Do: []string{
			"Look at rule, if it is there: chat:{room}.allow.publish is the rule publish of the channel chat:{room} in the configuration file.",
			"The server's log has the rule's text and what it saw, which clients are never told.",
			"Names that begin with $ are the server's own.",
		},
		Example: Example{`{"type":"message","channel":"news","id":1,"data":"hello"}`, `{"code":"forbidden","message":"publish on \"news\" is refused …","rule":"news.allow.publish"}`},
	},
	{
		Code: protocol.CodeNotFound, Title: "There is no such thing",
		Means: "No channel of this name is declared, or no connection with this id is open, or there is nothing at this address.",
		Final: "Final, until it is declared or opened.",
		Do: []string{
			"Channels: compare the name with channels in the configuration file; the first pattern that matches holds.",
			"In an address a channel's name is one segment: write / in it as %2F.",
		},
		Example: Example{`POST /v1/channels/chat/1/messages`, `{"code":"not_found","detail":"… a slash in it is written as %2F: /v1/channels/chat%2F1/messages","reason":"route"}`},
	},
	{
		Code: protocol.CodeTooLarge, Title: "Too large",
		Means: "A message, a body or a part of it is over a limit of size.",
		Final: "Final. It has to become smaller, or the limit larger.",
		Do: []string{
			"limit names the limit as the configuration file has it.",
			"Send large things another way, an upload for instance, and publish their address.",
		},
		Example: Example{`{"type":"photo","channel":"chat:1","data":"… 70,000 bytes …"}`, `{"code":"too_large","detail":"the body has more than 65536 bytes","limit":"limits.connection.max_message"}`},
	},
	{
		Code: protocol.CodeInvalidData, Title: "Not what the channel declares",
		Means: "The channel has no event of this type, or data does not fit the event's schema, or an idempotency key comes again with something else.",
		Final: "Final. The same message is refused again.",
		Do: []string{
			"The message names the place in data that does not fit.",
			"The declared events and their schemas are at /v1/asyncapi.json.",
			"Give every message a dedupe key (Idempotency-Key) of its own, and repeat a message unchanged.",
		},
		Example: Example{`{"type":"order-created","channel":"orders","data":{}}`, `{"code":"invalid_data","message":"data of \"order-created\" does not fit its schema: …"}`},
	},
	{
		Code: protocol.CodeRateLimited, Title: "Too often",
		Means: "More messages or requests came than are allowed in this time.",
		Final: "Try again, but not before retry_after (Retry-After) seconds.",
		Do: []string{
			"Wait, then send the same again; with a dedupe key that is safe.",
			"limit names the limit as the configuration file has it.",
			"A client that minds no answer is closed with 4100.",
		},
		Example: Example{`{"type":"cursor","channel":"board:1","data":[3,4]}`, `{"code":"rate_limited","retryable":true,"retry_after":0.25,"limit":"…"}`},
	},
	{
		Code: protocol.CodeLimitExceeded, Title: "Too many",
		Means: "Something has as many as it may have: subscriptions of a connection, members of a channel, keys of a state.",
		Final: "Final, until there are fewer. Where retryable is true, that happens by itself.",
		Do: []string{
			"Give something up first: unsubscribe, leave, delete keys.",
			"limit names the limit as the configuration file has it.",
		},
		Example: Example{`{"type":"subscribe","channel":"chat:1001","id":1}`, `{"code":"limit_exceeded","message":"…","retryable":false,"limit":"limits.connection.subscriptions"}`},
	},
	{
		Code: protocol.CodeConflict, Title: "Does not fit with what is so already",
		Means: "What is asked for contradicts what holds already: to sign a connection in as another user, for instance.",
		Final: "Final, as long as that holds.",
		Do:    []string{"Look at what there is, and ask for what is missing.", "To be somebody else, open another connection."},
		Example: Example{`{"type":"auth","token":"… of bob, on a connection of ann …"}`,
			`{"code":"conflict","message":"…","retryable":false}`},
	},
	{
		Code: protocol.CodeNotSubscribed, Title: "It needs a subscription first",
		Means: "The connection does not follow the channel that the message is about.",
		Final: "Final, until it is subscribed.",
		Do:    []string{"Subscribe, wait for subscribed, then send it again.", "After a reconnect the subscriptions are to be made again."},
		Example: Example{`{"type":"unsubscribe","channel":"chat:1","id":1}`,
			`{"code":"not_subscribed","message":"…","retryable":false}`},
	},
	{
		Code: protocol.CodeNoBackend, Title: "Nobody answers this call",
		Means: "A message without a channel is a call to the application, and the application has nothing that answers this one.",
		Final: "Final, until something answers it.",
		Do: []string{
			"If an event was meant, name its channel.",
			"In a Go program, HandleCall says what answers.",
		},
		Example: Example{`{"type":"order","id":1,"data":{}}`, `{"code":"no_backend","message":"nothing answers the call \"order\"; if it was meant as an event, name its channel"}`},
	},
	{
		Code: protocol.CodeBackendFailed, Title: "The application failed",
		Means: "The application was asked and failed, or gave no answer that can be used.",
		Final: "Unknown. Whether the application has done something is its own to say.",
		Do:    []string{"The logs of the server and of the application say what happened.", "Try again if the call may be made twice."},
		Example: Example{`{"type":"order","id":1,"data":{"pet":7}}`,
			`{"code":"backend_failed","message":"the application failed to answer \"order\"","retryable":false}`},
	},
	{
		Code: protocol.CodeUnavailable, Title: "Not now",
		Means: "The server cannot do it at the moment: its store or its message broker does not answer, or it is starting or stopping.",
		Final: "Try again, but not before retry_after (Retry-After) seconds. A publication may have been stored where the message says so: repeat it with the same dedupe key.",
		Do: []string{
			"Wait, with a delay that grows.",
			"/readyz says whether the server can serve, and its log why not.",
		},
		Example: Example{`POST /v1/channels/orders/messages`, `{"code":"unavailable","detail":"…","retryable":true,"retry_after":1}`},
	},
	{
		Code: protocol.CodeTimeout, Title: "It took too long",
		Means: "No answer came in time. Whether it was done is not known.",
		Final: "Try again. A publication that has a dedupe key is stored once however often it comes.",
		Do:    []string{"Repeat it unchanged, with the same dedupe key (Idempotency-Key).", "Without one, look first whether it was done: the history tells."},
		Example: Example{`POST /v1/channels/orders/messages`,
			`{"code":"timeout","detail":"whether the message was accepted is not known; repeat it with the same dedupe key","retryable":true}`},
	},
	{
		Code: protocol.CodeInternal, Title: "The server's own fault",
		Means: "The server failed at it in a way that it did not expect.",
		Final: "Unknown. It may work the next time.",
		Do:    []string{"The server's log says what happened, at the same moment.", "If it happens again, report it with that line."},
		Example: Example{`GET /v1/channels/orders/messages`,
			`{"code":"internal","detail":"the server failed at this; its log says why","retryable":false}`},
	},
}

func init() {
	for i := range Pages {
		p := &Pages[i]
		p.Status = p.Code.HTTPStatus()
		p.Href = (&protocol.Error{Code: p.Code}).Href()
	}
}

// PageOf returns the page of a code, nil if there is no such code.
func PageOf(code protocol.Code) *Page {
	for i := range Pages {
		if Pages[i].Code == code {
			return &Pages[i]
		}
	}
	return nil
}

// title is what a code is called in a document.
func title(code protocol.Code) string {
	if p := PageOf(code); p != nil {
		return p.Title
	}
	return string(code)
}
