package org.pocketfleet.transport;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import okhttp3.mockwebserver.MockResponse;
import okhttp3.mockwebserver.SocketPolicy;
import okhttp3.tls.HandshakeCertificates;
import okhttp3.tls.HeldCertificate;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.client.Client;
import org.pocketfleet.client.ClientListener;
import org.pocketfleet.client.Handler;
import org.pocketfleet.message.Reply;
import org.pocketfleet.message.Task;
import org.pocketfleet.state.StateDirectory;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.Tensor;

/** A whole client against a server or a line that misbehaves. */
public class FleetTransportTest {
  private static final Map<String, Tensor> WEIGHTS = new LinkedHashMap<>();
  private static final Map<String, Tensor> BIG =
      Collections.singletonMap("kernel", Tensor.zeros(DType.FLOAT32, 4_000_000));

  static {
    WEIGHTS.put("dense/kernel", Tensor.of(new float[] {0, 1, 2, 3, 4, 5}, 2, 3));
    WEIGHTS.put("dense/bias", Tensor.of(new float[] {1, 1, 1}, 3));
    Random random = new Random(0);
    for (int at = 0; at < 4_000_000; at++) {
      BIG.get("kernel").data().putFloat(4 * at, random.nextFloat());
    }
  }

  @Rule public final TemporaryFolder folder = new TemporaryFolder();
  private final List<Task> handled = new CopyOnWriteArrayList<>();
  private final List<String> troubles = new CopyOnWriteArrayList<>();

  private final Handler plusOne =
      task -> {
        handled.add(task);
        return answer(task);
      };

  private static Reply answer(Task task) {
    Map<String, Tensor> arrays = new LinkedHashMap<>();
    task.arrays()
        .forEach(
            (name, tensor) -> {
              Tensor sum = Tensor.zeros(tensor.type(), tensor.shape());
              for (int at = 0; at < tensor.bytes(); at += Float.BYTES) {
                sum.data().putFloat(at, tensor.data().getFloat(at) + 1);
              }
              arrays.put(name, sum);
            });
    return new Reply(Collections.singletonMap("num-examples", 1L), Collections.emptyMap(), arrays);
  }

  /** A client in a thread of its own, until it is closed. */
  private final class Running implements AutoCloseable {
    private final Client client;
    private final Thread thread;
    final AtomicReference<PocketfleetException> error = new AtomicReference<>();

    Running(ClientConfig.Builder config, Handler handler) throws Exception {
      File state = folder.getRoot();
      NodeKey key = FileNodeKey.loadOrCreate(StateDirectory.keyFile(state));
      config
          .stateDirectory(state)
          .pollShortestSeconds(0.01)
          .pollLongestSeconds(0.02)
          .leaveWithinSeconds(0);
      client = new Client(config.build(), key, handler, task -> null, new Listener());
      thread =
          new Thread(
              () -> {
                try {
                  client.run();
                } catch (PocketfleetException ended) {
                  error.set(ended);
                }
              });
      thread.start();
    }

    @Override
    public void close() throws InterruptedException {
      client.stop();
      thread.join(20_000);
      assertFalse("still running", thread.isAlive());
    }
  }

  private final class Listener implements ClientListener {
    @Override
    public void connected() {}

    @Override
    public void waiting(double waitSeconds) {}

    @Override
    public void working(Task task) {}

    @Override
    public void finished(Task task, Reply reply, String problem) {}

    @Override
    public void sent() {}

    @Override
    public void trouble(String words) {
      troubles.add(words);
    }
  }

  private Running client(FakeFleet server) throws Exception {
    return new Running(plain(server), plusOne);
  }

  private static ClientConfig.Builder plain(FakeFleet server) {
    return ClientConfig.builder().server(server.address()).insecure(true).silenceSeconds(1);
  }

  @Test
  public void theServerItselfIsFine() throws Exception {
    HeldCertificate certificate =
        new HeldCertificate.Builder().addSubjectAlternativeName("localhost").build();
    HandshakeCertificates held =
        new HandshakeCertificates.Builder().heldCertificate(certificate).build();
    try (FakeFleet server = new FakeFleet(Trees.weights(WEIGHTS), held.sslSocketFactory())) {
      ClientConfig.Builder config =
          ClientConfig.builder()
              .server(server.address())
              .caPem(certificate.certificatePem().getBytes(StandardCharsets.US_ASCII));
      try (Running client = new Running(config, plusOne)) {
        until(server::done);
      }
      assertReceived(server, WEIGHTS);
    }
    assertNothingLeft();
  }

  @Test
  public void phasesAreToldInTheirOrder() throws Exception {
    List<String> phases = new CopyOnWriteArrayList<>();
    Handler listening =
        new Handler() {
          @Override
          public Reply handle(Task task) {
            phases.add("handle");
            return answer(task);
          }

          @Override
          public void phase(String name) {
            if (phases.isEmpty() || !phases.get(phases.size() - 1).equals(name)) {
              phases.add(name);
            }
          }
        };
    try (FakeFleet server = new FakeFleet(Trees.weights(WEIGHTS), null)) {
      try (Running client = new Running(plain(server), listening)) {
        until(server::done);
        until(() -> phases.size() >= 6);
      }
    }
    assertEquals(
        Arrays.asList("wait", "download", "", "handle", "upload", "wait"), phases.subList(0, 6));
  }

  @Test
  public void spoiltObjectsAreAnsweredWithAnError() throws Exception {
    StoredObject root = Trees.weights(WEIGHTS);
    for (String how : new String[] {"altered", "truncated", "empty", "missing"}) {
      for (StoredObject victim : root.descendantsFirst()) {
        try (FakeFleet server = new FakeFleet(root, null)) {
          byte[] content = server.objects.remove(victim.id());
          if (how.equals("altered")) {
            content[content.length - 1] ^= 1;
            server.objects.put(victim.id(), content);
          } else if (how.equals("truncated")) {
            server.objects.put(victim.id(), Arrays.copyOf(content, content.length - 1));
          } else if (how.equals("empty")) {
            server.objects.put(victim.id(), new byte[0]);
          }
          try (Running client = client(server)) {
            until(server::done);
          }
          String complaint =
              how.equals("missing") ? "does not have object" : "do not have this hash";
          String reason = server.lastAnnounced().getError().getReason();
          assertTrue(reason, reason.contains(complaint));
        }
        assertNothingLeft();
      }
    }
    assertTrue(handled.isEmpty());
  }

  @Test
  public void aMessageTooLargeIsAnsweredWithAnError() throws Exception {
    try (FakeFleet server = new FakeFleet(Trees.weights(BIG), null)) {
      try (Running client = new Running(plain(server).maxMessageBytes(1 << 20), plusOne)) {
        until(server::done);
        assertEquals("no chunk", 4, Collections.frequency(server.calls, "pull-object"));
      }
      String reason = server.lastAnnounced().getError().getReason();
      assertTrue(reason, reason.contains("more than the 1048576 still acceptable"));
    }
  }

  @Test
  public void garbageInOneAnswerNeverEndsTheClient() throws Exception {
    Map<String, MockResponse> garbage = new LinkedHashMap<>();
    garbage.put("no protobuf", FakeFleet.bytes(new byte[] {-1, -1, -1}));
    garbage.put("endless", new MockResponse().setHeader("content-length", "999999999999"));
    garbage.put("500", new MockResponse().setResponseCode(500));
    garbage.put("404", new MockResponse().setResponseCode(404).setBody("\u00ff"));
    garbage.put("403", new MockResponse().setResponseCode(403).setBody("{\"code\": true}"));
    garbage.put("302", new MockResponse().setResponseCode(302).setHeader("location", "x"));
    garbage.put(
        "cut", new MockResponse().setSocketPolicy(SocketPolicy.DISCONNECT_DURING_RESPONSE_BODY));
    for (String call :
        new String[] {"pull-object", "push-messages", "push-object", "confirm-message-received"}) {
      try (FakeFleet server = new FakeFleet(Trees.weights(WEIGHTS), null);
          Running client = client(server)) {
        until(server::done);
        for (Map.Entry<String, MockResponse> each : garbage.entrySet()) {
          AtomicBoolean spoilt = new AtomicBoolean();
          server.interfere(
              (name, body) ->
                  name.equals(call) && !spoilt.getAndSet(true) ? each.getValue() : null);
          server.redeliver();
          until(spoilt::get);
          server.calls.clear();
          until(() -> Collections.frequency(server.calls, "pull-messages") > 2);
          server.redeliver();
          until(server::done);
          assertFalse(each.getKey(), server.lastAnnounced().hasError());
          assertReceived(server, WEIGHTS);
        }
      }
    }
  }

  @Test
  public void linesThatBreakAtEveryCallLoseNothing() throws Exception {
    Map<String, Integer> dropped = new HashMap<>();
    try (FakeFleet server = new FakeFleet(Trees.weights(BIG), null)) {
      server.interfere(
          (name, body) -> {
            // What is lost with it is lost: the server counts it as delivered.
            boolean drop =
                !name.equals("pull-messages") && dropped.merge(name, 1, Integer::sum) % 2 == 1;
            if (drop) {
              server.usual(name, body.readByteArray());
            }
            return drop
                ? new MockResponse().setSocketPolicy(SocketPolicy.DISCONNECT_AFTER_REQUEST)
                : null;
          });
      try (Running client = client(server)) {
        until(() -> server.done() && !new File(folder.getRoot(), "reply").exists());
      }
      assertReceived(server, BIG);
      assertEquals(1, handled.size());
    }
  }

  @Test
  public void aServerThatFallsSilentIsAskedAgain() throws Exception {
    AtomicBoolean silent = new AtomicBoolean();
    try (FakeFleet server = new FakeFleet(Trees.weights(WEIGHTS), null)) {
      server.interfere(
          (name, body) ->
              name.equals("push-messages") && !silent.getAndSet(true)
                  ? new MockResponse().setSocketPolicy(SocketPolicy.NO_RESPONSE)
                  : null);
      try (Running client = client(server)) {
        until(server::done);
      }
    }
  }

  @Test
  public void aReplyThatFindsNoRoomBecomesAnError() throws Exception {
    try (FakeFleet server = new FakeFleet(Trees.weights(WEIGHTS), null)) {
      AtomicBoolean filled = new AtomicBoolean();
      Handler filling =
          task -> {
            if (!filled.getAndSet(true)) {
              block("reply.tmp");
            }
            return answer(task);
          };
      try (Running client = new Running(plain(server), filling)) {
        until(server::done);
        String reason = server.lastAnnounced().getError().getReason();
        assertTrue(reason, reason.startsWith("the reply cannot be kept on this device: "));
        unblock("reply.tmp");
        server.redeliver();
        until(server::done);
      }
      assertReceived(server, WEIGHTS);
    }
  }

  @Test
  public void aTaskThatFindsNoRoomIsAnsweredAtOnce() throws Exception {
    block("task.tmp");
    try (FakeFleet server = new FakeFleet(Trees.weights(WEIGHTS), null)) {
      try (Running client = client(server)) {
        until(server::done);
        String reason = server.lastAnnounced().getError().getReason();
        assertTrue(reason, reason.startsWith("this device's storage fails: "));
        assertTrue(handled.isEmpty());
        unblock("task.tmp");
        server.redeliver();
        until(server::done);
      }
      assertReceived(server, WEIGHTS);
    }
  }

  @Test
  public void anUnfitReplyBecomesAnError() throws Exception {
    Reply unfit = new Reply(Collections.singletonMap("loss", "low"), Collections.emptyMap(), null);
    try (FakeFleet server = new FakeFleet(Trees.weights(WEIGHTS), null)) {
      try (Running client = new Running(plain(server), task -> unfit)) {
        until(server::done);
      }
      assertEquals(
          "the reply cannot be sent: metric 'loss': String cannot travel",
          server.lastAnnounced().getError().getReason());
    }
  }

  @Test
  public void leavingWhileTheServerIsAway() throws Exception {
    String address;
    try (FakeFleet server = new FakeFleet(Trees.weights(WEIGHTS), null)) {
      address = server.address();
    }
    ClientConfig.Builder config =
        ClientConfig.builder().server(address).insecure(true).giveUpAfterSeconds(0);
    try (Running client = new Running(config, plusOne)) {
      until(() -> !troubles.isEmpty());
      client.close();
      assertEquals(null, client.error.get());
    }
    assertTrue(troubles.get(0), troubles.get(0).contains("cannot connect to localhost"));
  }

  /** Makes a file impossible to write, for root as well. */
  private void block(String name) {
    assertTrue(new File(folder.getRoot(), name + "/full").mkdirs());
  }

  private void unblock(String name) {
    assertTrue(new File(folder.getRoot(), name + "/full").delete());
    assertTrue(new File(folder.getRoot(), name).delete());
  }

  private void assertNothingLeft() {
    for (String name : new String[] {"task", "reply", "session"}) {
      assertFalse(name, new File(folder.getRoot(), name).exists());
    }
  }

  /** Decodes what a client stored, as a server would. */
  private static void assertReceived(FakeFleet server, Map<String, Tensor> sent)
      throws PocketfleetException {
    String root = server.lastAnnounced().getMetadata().getMessageId();
    Map<String, Tensor> arrays =
        new TaskDecoder(Trees.instruction(root), new Trees.Store(server.stored), 1 << 30)
            .decode()
            .arrays();
    assertEquals(sent.keySet(), arrays.keySet());
    sent.forEach(
        (name, tensor) -> {
          for (int at = 0; at < tensor.bytes(); at += Float.BYTES) {
            assertEquals(tensor.data().getFloat(at) + 1, arrays.get(name).data().getFloat(at), 0);
          }
        });
  }

  private interface Condition {
    boolean holds() throws IOException;
  }

  private void until(Condition condition) throws Exception {
    long start = System.nanoTime();
    while (!condition.holds()) {
      assertTrue("did not happen; " + troubles, System.nanoTime() - start < 180e9);
      Thread.sleep(5);
    }
  }
}
