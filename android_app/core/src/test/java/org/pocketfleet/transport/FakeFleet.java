package org.pocketfleet.transport;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import java.io.Closeable;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import javax.net.ServerSocketFactory;
import javax.net.ssl.SSLSocketFactory;
import okhttp3.mockwebserver.Dispatcher;
import okhttp3.mockwebserver.MockResponse;
import okhttp3.mockwebserver.MockWebServer;
import okhttp3.mockwebserver.RecordedRequest;
import okhttp3.mockwebserver.SocketPolicy;
import okio.Buffer;
import org.pocketfleet.fleet.ActivateNodeResponse;
import org.pocketfleet.fleet.Message;
import org.pocketfleet.fleet.Metadata;
import org.pocketfleet.fleet.ObjectTree;
import org.pocketfleet.fleet.PullMessagesResponse;
import org.pocketfleet.fleet.PullObjectRequest;
import org.pocketfleet.fleet.PullObjectResponse;
import org.pocketfleet.fleet.PushMessagesRequest;
import org.pocketfleet.fleet.PushMessagesResponse;
import org.pocketfleet.fleet.PushObjectRequest;
import org.pocketfleet.fleet.PushObjectResponse;
import org.pocketfleet.fleet.SendNodeHeartbeatResponse;

/**
 * A Fleet server that says what a test wants it to say: it serves one message as a SuperLink would,
 * except where the test interferes.
 */
final class FakeFleet extends Dispatcher implements Closeable {
  private static final long NODE = Long.MIN_VALUE + 5;

  /** What a test says instead; null: the usual. */
  interface Interference {
    MockResponse answer(String call, Buffer body) throws IOException;
  }

  final MockWebServer web = new MockWebServer();
  final List<String> calls = new CopyOnWriteArrayList<>();
  final List<Message> announced = new CopyOnWriteArrayList<>();
  final Map<String, byte[]> objects = new ConcurrentHashMap<>();
  final Map<String, byte[]> stored = new ConcurrentHashMap<>();
  private final Metadata message;
  private volatile Interference interference = (call, body) -> null;
  private volatile boolean delivered;
  private volatile Set<String> expected = Collections.emptySet();

  FakeFleet(StoredObject root, SSLSocketFactory tls) throws IOException {
    objects.putAll(Trees.contents(root));
    message =
        Trees.instruction(root.id()).toBuilder()
            .setDstNodeId(NODE)
            .setTtl(3600)
            .setCreatedAt(System.currentTimeMillis() / 1000.0)
            .build();
    web.setDispatcher(this);
    web.setServerSocketFactory(new PromptServers());
    if (tls != null) {
      web.useHttps(tls, false);
    }
    web.start();
  }

  String address() {
    return "localhost:" + web.getPort();
  }

  void interfere(Interference how) {
    interference = how;
  }

  /** Hands the message out once more. */
  void redeliver() {
    stored.clear();
    announced.clear();
    delivered = false;
  }

  /** Whether the reply to the message is here as a whole. */
  boolean done() {
    return !announced.isEmpty() && stored.keySet().containsAll(expected);
  }

  Message lastAnnounced() {
    return announced.get(announced.size() - 1);
  }

  @Override
  public MockResponse dispatch(RecordedRequest request) {
    String call = String.valueOf(request.getPath()).replace("/v1/fleet/", "");
    Buffer body = request.getBody();
    calls.add(call);
    try {
      MockResponse answer = interference.answer(call, body.clone());
      return answer != null ? answer : usual(call, body.readByteArray());
    } catch (IOException error) {
      return new MockResponse().setSocketPolicy(SocketPolicy.DISCONNECT_AT_START);
    }
  }

  /** What a SuperLink would answer. */
  MockResponse usual(String call, byte[] body) throws InvalidProtocolBufferException {
    switch (call) {
      case "activate-node":
        return proto(ActivateNodeResponse.newBuilder().setNodeId(NODE).build());
      case "send-node-heartbeat":
        return proto(SendNodeHeartbeatResponse.newBuilder().setSuccess(true).build());
      case "pull-messages":
        boolean had = delivered;
        delivered = true;
        PullMessagesResponse.Builder messages = PullMessagesResponse.newBuilder();
        return proto(
            had
                ? messages.build()
                : messages.addMessagesList(Message.newBuilder().setMetadata(message)).build());
      case "pull-object":
        byte[] content = objects.get(PullObjectRequest.parseFrom(body).getObjectId());
        PullObjectResponse.Builder object = PullObjectResponse.newBuilder();
        if (content != null) {
          object.setObjectFound(true).setObjectAvailable(true);
          object.setObjectContent(ByteString.copyFrom(content));
        }
        return proto(object.build());
      case "push-messages":
        PushMessagesRequest reply = PushMessagesRequest.parseFrom(body);
        Set<String> missing = new HashSet<>();
        collect(reply.getMessageObjectTrees(0), missing);
        expected = new HashSet<>(missing);
        announced.add(reply.getMessagesList(0));
        missing.removeAll(stored.keySet());
        return proto(
            PushMessagesResponse.newBuilder()
                .addAllObjectsToPush(missing)
                .setSessionId("s")
                .build());
      case "push-object":
        PushObjectRequest pushed = PushObjectRequest.parseFrom(body);
        byte[] before = stored.put(pushed.getObjectId(), pushed.getObjectContent().toByteArray());
        return proto(PushObjectResponse.newBuilder().setStored(before == null).build());
      default:
        return new MockResponse();
    }
  }

  static MockResponse proto(MessageLite message) {
    return bytes(message.toByteArray());
  }

  static MockResponse bytes(byte[] content) {
    return new MockResponse().setBody(new Buffer().write(content));
  }

  @Override
  public void close() throws IOException {
    web.shutdown();
  }

  private static void collect(ObjectTree tree, Set<String> ids) {
    ids.add(tree.getObjectId());
    for (ObjectTree child : tree.getChildrenList()) {
      collect(child, ids);
    }
  }

  /** MockWebServer sends an answer in two pieces; without this each waits for the other side. */
  private static final class PromptServers extends ServerSocketFactory {
    @Override
    public ServerSocket createServerSocket() throws IOException {
      return new ServerSocket() {
        @Override
        public Socket accept() throws IOException {
          Socket socket = super.accept();
          socket.setTcpNoDelay(true);
          return socket;
        }
      };
    }

    @Override
    public ServerSocket createServerSocket(int port) {
      throw new UnsupportedOperationException();
    }

    @Override
    public ServerSocket createServerSocket(int port, int backlog) {
      throw new UnsupportedOperationException();
    }

    @Override
    public ServerSocket createServerSocket(int port, int backlog, InetAddress address) {
      throw new UnsupportedOperationException();
    }
  }
}
