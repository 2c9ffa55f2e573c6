package org.pocketfleet.transport;

import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import com.google.protobuf.CodedInputStream;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import com.google.protobuf.Parser;
import com.google.protobuf.UnsafeByteOperations;
import java.io.EOFException;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.net.ConnectException;
import java.net.SocketException;
import java.net.UnknownHostException;
import java.net.UnknownServiceException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.Base64;
import java.util.Collections;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLHandshakeException;
import javax.net.ssl.SSLPeerUnverifiedException;
import okhttp3.ConnectionPool;
import okhttp3.Headers;
import okhttp3.HttpUrl;
import okhttp3.MediaType;
import okhttp3.OkHttpClient;
import okhttp3.Protocol;
import okhttp3.Request;
import okhttp3.RequestBody;
import okhttp3.Response;
import okio.BufferedSink;
import okio.BufferedSource;
import org.pocketfleet.Events;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.SettingsException;
import org.pocketfleet.StrictJson;
import org.pocketfleet.state.StateException;

/** Signed protobuf calls over one pool of HTTP(S) connections. */
final class Connection {
  /** Flower's number for "this key belongs to a node that is active". */
  static final int CODE_KEY_IN_USE = 23;

  /** Flower's number for "only enrolled keys". */
  static final int CODE_REGISTRATION_OFF = 2001;

  private static final int CODE_RUN_OVER = 2007;
  private static final MediaType PROTOBUF = MediaType.get("application/protobuf");

  /** A signature covers only its timestamp, which is good for five minutes. */
  private static final long SIGNATURE_REUSE_NS = TimeUnit.SECONDS.toNanos(30);

  private static final double LONGEST_CONNECT_S = 10;
  private static final int MAX_DETAIL = 300;
  private static final int UNAUTHORIZED = 401;
  private static final int PRECONDITION_FAILED = 412;
  private static final int SERVER_ERROR = 500;

  private final String server;
  private final HttpUrl url;
  private final NodeKey key;
  private final ServerClock clock;
  private final OkHttpClient client;
  private Headers signed;
  private long signedAt;

  /**
   * Prepares calls; makes none.
   *
   * @param server {@code HOST:PORT}
   * @param key who signs
   * @param trust whom to take for the server; null: plain HTTP
   * @param timeoutS longest silence of the server during a call
   * @throws SettingsException the address is none
   */
  Connection(String server, NodeKey key, ServerClock clock, TlsTrust trust, double timeoutS)
      throws SettingsException {
    this.server = server;
    this.url = ServerAddress.url(server, trust != null);
    this.key = key;
    this.clock = clock;
    OkHttpClient.Builder builder =
        new OkHttpClient.Builder()
            .followRedirects(false)
            .followSslRedirects(false)
            .socketFactory(new PromptSockets())
            .protocols(Collections.singletonList(Protocol.HTTP_1_1))
            .connectionPool(new ConnectionPool(Crew.MAX_AT_ONCE, 1, TimeUnit.MINUTES))
            .connectTimeout(millis(Math.min(timeoutS, LONGEST_CONNECT_S)), TimeUnit.MILLISECONDS)
            .readTimeout(millis(timeoutS), TimeUnit.MILLISECONDS)
            .writeTimeout(millis(timeoutS), TimeUnit.MILLISECONDS);
    if (trust != null) {
      builder.sslSocketFactory(trust.sockets(), trust);
    }
    this.client = builder.build();
  }

  /** The server's address as the user gave it. */
  String server() {
    return server;
  }

  /**
   * Makes one call, once; again only if the server's answer showed that the clock was wrong.
   *
   * @param name last part of the path, such as {@code pull-messages}
   * @param answer reads the answer
   * @param limit longest acceptable answer in bytes
   * @param traffic gets the bytes of both bodies
   * @throws UnreachableException no answer, or one that promises to be different later
   * @throws RefusedException the server said no
   * @throws MessageException the answer is not one
   * @throws SettingsException TLS could not be agreed on
   */
  <R> R call(String name, MessageLite request, Parser<R> answer, int limit, Traffic traffic)
      throws PocketfleetException {
    long start = System.nanoTime();
    Answer got = post(name, request, limit);
    if (got.status == UNAUTHORIZED && got.clockWasSet) {
      got = post(name, request, limit);
    }
    traffic.add(request.getSerializedSize(), got.content.length);
    double tookMs = (System.nanoTime() - start) / 1e6;
    Events.debug("event=called call=%s status=%d ms=%.1f", name, got.status, tookMs);
    if (got.status != 200) {
      throw refusal(name, got);
    }
    try {
      // The objects in the answer are views of its bytes, not copies.
      CodedInputStream input = UnsafeByteOperations.unsafeWrap(got.content).newCodedInput();
      input.enableAliasing(true);
      R message = answer.parseFrom(input);
      input.checkLastTagWas(0);
      return message;
    } catch (InvalidProtocolBufferException error) {
      throw new MessageException(
          server + " answered " + name + " with something that is not a message", error);
    }
  }

  /** Closes all connections that are not in use. */
  void close() {
    client.connectionPool().evictAll();
  }

  private static final class Answer {
    final int status;
    final boolean clockWasSet;
    final byte[] content;

    Answer(int status, boolean clockWasSet, byte[] content) {
      this.status = status;
      this.clockWasSet = clockWasSet;
      this.content = content;
    }
  }

  /** A body that is written as it is made. */
  private static final class MessageBody extends RequestBody {
    private final MessageLite message;

    MessageBody(MessageLite message) {
      this.message = message;
    }

    @Override
    public MediaType contentType() {
      return PROTOBUF;
    }

    @Override
    public long contentLength() {
      return message.getSerializedSize();
    }

    @Override
    public void writeTo(BufferedSink sink) throws IOException {
      message.writeTo(sink.outputStream());
    }
  }

  private Answer post(String name, MessageLite message, int limit) throws PocketfleetException {
    Request request =
        new Request.Builder()
            .url(url.newBuilder().addPathSegments("v1/fleet/" + name).build())
            .headers(signature())
            .post(new MessageBody(message))
            .build();
    try (Response response = client.newCall(request).execute()) {
      byte[] content = read(name, response, limit);
      boolean clockWasSet = clock.observe(response.headers().getInstant("Date"));
      if (clockWasSet) {
        forgetSignature();
      }
      return new Answer(response.code(), clockWasSet, content);
    } catch (IOException error) {
      throw failure(name, error);
    }
  }

  private byte[] read(String name, Response response, int limit)
      throws IOException, MessageException {
    if (response.body() == null) {
      return new byte[0];
    }
    BufferedSource source = response.body().source();
    long announced = response.body().contentLength();
    if (announced > limit || (announced < 0 && source.request(limit + 1L))) {
      throw new MessageException(
          server + " answered " + name + " with more than " + limit + " bytes");
    }
    return announced < 0 ? source.readByteArray() : source.readByteArray(announced);
  }

  private synchronized Headers signature() throws StateException {
    if (signed == null || System.nanoTime() - signedAt > SIGNATURE_REUSE_NS) {
      String timestamp = clock.timestamp();
      byte[] signature;
      try {
        signature = key.sign(timestamp.getBytes(StandardCharsets.US_ASCII));
      } catch (GeneralSecurityException error) {
        throw new StateException(
            "this client's key cannot be used (any more): " + error.getMessage(), error);
      }
      Base64.Encoder base64 = Base64.getEncoder();
      signed =
          new Headers.Builder()
              .add("accept", PROTOBUF.toString())
              .add("accept-encoding", "identity")
              .add("flwr-public-key", base64.encodeToString(key.publicPem()))
              .add("flwr-timestamp", timestamp)
              .add("flwr-signature", base64.encodeToString(signature))
              .build();
      signedAt = System.nanoTime();
    }
    return signed;
  }

  private synchronized void forgetSignature() {
    signed = null;
  }

  private ServerException refusal(String name, Answer answer) {
    int code = 0;
    String detail = "";
    try {
      JsonReader json = StrictJson.reader(ByteBuffer.wrap(answer.content));
      if (json.peek() == JsonToken.BEGIN_OBJECT) {
        json.beginObject();
        while (json.hasNext()) {
          String field = json.nextName();
          if (field.equals("code") && json.peek() == JsonToken.NUMBER) {
            code = json.nextInt();
          } else if (field.equals("detail") && json.peek() == JsonToken.STRING) {
            String words = json.nextString();
            detail = ": " + words.substring(0, Math.min(MAX_DETAIL, words.length()));
          } else {
            json.skipValue();
          }
        }
      }
    } catch (IOException | IllegalStateException | NumberFormatException notFlowers) {
      code = 0;
    }
    int status = answer.status;
    String words = server + " answered " + name + " with HTTP " + status + detail;
    boolean known =
        status == UNAUTHORIZED || status == PRECONDITION_FAILED || status == SERVER_ERROR;
    if (code == 0 && !known) {
      // Not the SuperLink's own word: a proxy or a portal on the way, or the server is starting.
      return new UnreachableException(words + "; is it a SuperLink?");
    }
    return code == CODE_RUN_OVER
        ? new RunOverException(words, status, code)
        : new RefusedException(words, status, code);
  }

  private PocketfleetException failure(String name, IOException error) {
    TlsTrust.Distrust distrust = find(error, TlsTrust.Distrust.class);
    if (distrust != null) {
      return new SettingsException(
          "the certificate of "
              + server
              + " is not to be trusted ("
              + distrust.getMessage()
              + "); is --ca the right file?",
          error);
    }
    if (error instanceof SSLPeerUnverifiedException) {
      return new SettingsException(
          "the certificate of "
              + server
              + " is not to be trusted (it is not valid for '"
              + url.host()
              + "'); reach the server by a name that its certificate has",
          error);
    }
    if (isTlsTrouble(error)) {
      return new SettingsException(
          server + " does not speak TLS as expected (" + cause(error) + "); is it a TLS port?",
          error);
    }
    if (error instanceof UnknownServiceException) {
      return new SettingsException(
          server + ": this system does not allow plain HTTP (" + cause(error) + ")", error);
    }
    if (error instanceof ConnectException || error instanceof UnknownHostException) {
      return new UnreachableException("cannot connect to " + server + ": " + cause(error), error);
    }
    return new UnreachableException(
        "lost the connection to " + server + " during " + name + ": " + cause(error), error);
  }

  /** Whether TLS itself failed, and not the line below it. */
  private static boolean isTlsTrouble(IOException error) {
    boolean line =
        find(error, SocketException.class) != null
            || find(error, EOFException.class) != null
            || find(error, InterruptedIOException.class) != null;
    String words = String.valueOf(error.getMessage());
    return !line
        && (error instanceof SSLHandshakeException
            || (error instanceof SSLException
                && (words.contains("Unsupported or unrecognized SSL message")
                    || words.contains("Unable to parse TLS packet header"))));
  }

  private static <T> T find(Throwable error, Class<T> type) {
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      if (type.isInstance(cause)) {
        return type.cast(cause);
      }
    }
    return null;
  }

  /** The innermost reason, without the addresses that OkHttp repeats. */
  private static String cause(Throwable error) {
    Throwable innermost = error;
    while (innermost.getCause() != null) {
      innermost = innermost.getCause();
    }
    String words = innermost.getMessage();
    if (words == null) {
      return innermost.getClass().getSimpleName();
    }
    return words.endsWith(" (Connection refused)") ? "Connection refused" : words;
  }

  private static long millis(double seconds) {
    return Math.max(1, (long) (seconds * 1000));
  }
}
