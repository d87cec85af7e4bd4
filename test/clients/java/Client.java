import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionStage;
import java.util.function.BooleanSupplier;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import okhttp3.WebSocketListener;
import okhttp3.sse.EventSource;
import okhttp3.sse.EventSourceListener;
import okhttp3.sse.EventSources;

/**
 * The program for Java: Client LIBRARY. It says of each step "ok STEP" or "FAIL STEP: why".
 * BASE, CONTROL, TOKEN and API_KEY come by the environment.
 */
public class Client {
  static final String BASE = System.getenv("BASE"), CONTROL = System.getenv("CONTROL"), TOKEN = System.getenv("TOKEN"), KEY = System.getenv("API_KEY");
  static final ObjectMapper JSON = new ObjectMapper();
  static final HttpClient HTTP = HttpClient.newHttpClient();
  static final OkHttpClient OK = new OkHttpClient(); // with the limits that it has by itself
  static String library, channel;
  static boolean failed;

  interface Work { void run() throws Exception; }

  static void step(String name, Work work) {
    try {
      work.run();
      System.out.println("ok " + name);
    } catch (Exception e) {
      failed = true;
      System.out.println(("FAIL " + name + ": " + e).replace("\n", " "));
    }
  }

  static void same(String what, Object got, Object want) {
    if (!got.equals(want)) throw new IllegalStateException(what + ": " + got + " instead of " + want);
  }

  static String text(int i) {
    return i == 10 ? "x".repeat(40_000) : "nº " + i + " ✓ 日本語 🚀 \"\\\n\u2028";
  }

  /** What came. */
  static class Inbox {
    final List<JsonNode> all = new ArrayList<>();
    final List<String> trouble = new ArrayList<>();
    int empty, code, ends;
    String last = "";

    synchronized void take(String text) {
      try {
        if (text.isEmpty()) empty++;
        else all.add(JSON.readTree(text));
      } catch (Exception e) {
        trouble.add(e.toString());
      }
      notifyAll();
    }

    synchronized void end(int code) {
      this.code = code;
      ends++;
      notifyAll();
    }

    synchronized void fail(String why) {
      trouble.add(why);
      notifyAll();
    }

    synchronized List<JsonNode> of(String type) {
      return all.stream().filter(m -> m.get("type").asText().equals(type)).toList();
    }

    synchronized void until(String what, BooleanSupplier done) throws Exception {
      for (long end = System.nanoTime() + 15_000_000_000L; !done.getAsBoolean(); wait(100))
        if (System.nanoTime() > end) throw new IllegalStateException("waited for " + what + " in vain, after " + all.size() + " messages; " + trouble);
    }

    void until(String type, int n) throws Exception {
      until(n + " of " + type, () -> of(type).size() >= n);
    }

    void wantEnd(int want) throws Exception {
      until("the end", () -> ends > 0);
      same("the code", code, want);
    }

    void sameMessages() {
      List<JsonNode> list = of("n");
      same("messages", list.size(), 20);
      for (int i = 0; i < 20; i++) {
        same("number", list.get(i).get("data").get("i").asInt(), i);
        same("text", list.get(i).get("data").get("text").asText(), text(i));
      }
    }
  }

  /** One socket in use. */
  abstract static class Line extends Inbox {
    abstract void send(String text) throws Exception;

    void say(ObjectNode m) throws Exception { send(m.toString()); }
  }

  static ObjectNode message(String type) {
    return JSON.createObjectNode().put("type", type).put("channel", channel);
  }

  static ObjectNode numbered(int i) {
    ObjectNode m = message("n").put("id", 100 + i);
    m.putObject("data").put("i", i).put("text", text(i));
    return m;
  }

  static Line open(String query) throws Exception {
    String address = BASE.replaceFirst("http", "ws") + "/v1/ws?" + query;
    return library.equals("okhttp") ? new OkLine(address) : new JdkLine(address);
  }

  static Line subscribed(ObjectNode since) throws Exception {
    Line l = open("token=" + TOKEN);
    ObjectNode m = message("subscribe").put("id", 1);
    if (since != null) m.set("since", since);
    l.say(m);
    l.until("subscribed", 1);
    return l;
  }

  static class JdkLine extends Line implements java.net.http.WebSocket.Listener {
    final java.net.http.WebSocket socket;
    final StringBuilder part = new StringBuilder();

    JdkLine(String address) throws Exception { socket = HTTP.newWebSocketBuilder().buildAsync(URI.create(address), this).get(); }

    @Override public CompletionStage<?> onText(java.net.http.WebSocket s, CharSequence data, boolean whole) {
      part.append(data);
      if (whole) {
        take(part.toString());
        part.setLength(0);
      }
      s.request(1);
      return null;
    }

    @Override public CompletionStage<?> onClose(java.net.http.WebSocket s, int code, String reason) {
      end(code);
      return null;
    }

    @Override public void onError(java.net.http.WebSocket s, Throwable e) { end(-1); }

    @Override void send(String text) throws Exception { socket.sendText(text, true).get(); }
  }

  static class OkLine extends Line {
    final okhttp3.WebSocket socket;

    OkLine(String address) {
      Inbox inbox = this;
      socket = OK.newWebSocket(new Request.Builder().url(address).build(), new WebSocketListener() {
        @Override public void onMessage(okhttp3.WebSocket s, String text) { inbox.take(text); }

        @Override public void onClosing(okhttp3.WebSocket s, int code, String reason) {
          s.close(1000, null);
          inbox.end(code);
        }

        @Override public void onFailure(okhttp3.WebSocket s, Throwable e, Response r) { inbox.end(-1); }
      });
    }

    @Override void send(String text) { socket.send(text); }
  }

  static void ask(String method, String address, String body, String... header) throws Exception {
    HttpRequest.Builder b = HttpRequest.newBuilder(URI.create(address)).timeout(Duration.ofSeconds(15)).header("Content-Type", "application/json");
    if (header.length > 0) b.headers(header);
    HttpResponse<String> r = HTTP.send(b.method(method, HttpRequest.BodyPublishers.ofString(body)).build(), HttpResponse.BodyHandlers.ofString());
    if (r.statusCode() >= 300) throw new IllegalStateException(method + " " + address + ": " + r.statusCode() + " " + r.body());
  }

  static void cut() throws Exception { ask("POST", CONTROL + "/cut?n=3&channel=" + channel, ""); }

  static void drain() throws Exception { ask("POST", CONTROL + "/drain", ""); }

  static void socketSteps() throws Exception {
    Line[] line = new Line[1];
    step("order", () -> {
      Line l = line[0] = subscribed(null);
      same("user", l.of("welcome").get(0).get("data").get("user").asText(), "ann");
      for (int i = 0; i < 20; i++) l.say(numbered(i));
      l.until("n", 20);
      l.until("ack", 20);
      l.sameMessages();
    });
    step("resume", () -> {
      Line l = line[0];
      ObjectNode since = JSON.createObjectNode();
      since.set("epoch", l.of("subscribed").get(0).get("epoch"));
      since.set("offset", l.of("n").get(9).get("offset"));
      cut();
      l.until("the end", () -> l.ends > 0);
      Line next = line[0] = subscribed(since);
      next.until("missed", 3);
      same("recovered", next.of("subscribed").get(0).get("data").get("recovered").asBoolean(), true);
      same("again", next.of("n").size(), 10);
      same("first", next.of("n").get(0).get("data").get("i").asInt(), 10);
    });
    step("4001", () -> open("token=a.bad.token").wantEnd(4001));
    step("4005", () -> {
      Line l = subscribed(null);
      ask("DELETE", BASE + "/v1/connections/" + l.of("welcome").get(0).get("data").get("connection").asText(), "", "Authorization", "Bearer " + KEY);
      l.wantEnd(4005);
    });
    step("4200", () -> {
      drain();
      line[0].wantEnd(4200);
      line[0].until("reconnect", 1);
    });
  }

  /** Follows a stream, and comes back with the id of the last event. */
  static Inbox follow(String token, boolean[] stop) {
    Inbox inbox = new Inbox();
    EventSource.Factory factory = EventSources.createFactory(OK);
    Runnable[] again = new Runnable[1];
    EventSourceListener listener = new EventSourceListener() {
      @Override public void onEvent(EventSource s, String id, String type, String data) {
        if (id != null) inbox.last = id;
        inbox.take(data);
      }

      @Override public void onClosed(EventSource s) { back("closed"); }

      @Override public void onFailure(EventSource s, Throwable e, Response r) { back(r != null && !r.isSuccessful() ? "status " + r.code() : "" + e); }

      void back(String why) {
        inbox.fail(why);
        if (!stop[0] && !why.startsWith("status")) again[0].run();
      }
    };
    again[0] = () -> {
      Request.Builder b = new Request.Builder().url(BASE + "/v1/sse?channel=" + channel).header("Authorization", "Bearer " + token);
      if (!inbox.last.isEmpty()) b.header("Last-Event-ID", inbox.last);
      factory.newEventSource(b.build(), listener);
    };
    again[0].run();
    return inbox;
  }

  static void streamSteps() {
    boolean[] stop = new boolean[1];
    Inbox inbox = follow(TOKEN, stop);
    step("order", () -> {
      inbox.until("subscribed", 1);
      JsonNode me = inbox.of("welcome").get(0).get("data");
      same("user", me.get("user").asText(), "ann");
      for (int i = 0; i < 20; i++)
        ask("POST", BASE + "/v1/connections/" + me.get("connection").asText() + "/messages", numbered(i).toString(), "Ringdown-Stream", me.get("secret").asText());
      inbox.until("n", 20);
      inbox.until("ack", 20);
      inbox.sameMessages();
    });
    step("quiet", () -> {
      Thread.sleep(1500);
      same("empty events and errors", inbox.empty + " " + inbox.trouble, "0 []");
    });
    step("resume", () -> {
      cut();
      inbox.until("missed", 3);
      List<JsonNode> all = inbox.of("subscribed");
      same("recovered", all.get(all.size() - 1).get("data").get("recovered").asBoolean(), true);
      same("messages", inbox.of("n").size() + " " + inbox.of("missed").size(), "20 3");
    });
    step("401", () -> {
      Inbox bad = follow("a.bad.token", stop);
      bad.until("the status", () -> bad.trouble.contains("status 401"));
    });
    step("end", () -> {
      stop[0] = true;
      int before = inbox.trouble.size();
      drain();
      inbox.until("reconnect", 1);
      inbox.until("the end", () -> inbox.trouble.size() > before);
      same("an end in order", inbox.trouble.get(before), "closed");
    });
  }

  public static void main(String[] args) throws Exception {
    library = args[0];
    channel = "lab:" + library;
    if (library.equals("okhttp-sse")) streamSteps();
    else socketSteps();
    System.out.flush();
    Runtime.getRuntime().halt(failed ? 1 : 0);
  }
}
