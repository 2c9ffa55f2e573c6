package org.pocketfleet.transport;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.security.KeyFactory;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import okhttp3.mockwebserver.MockResponse;
import okhttp3.mockwebserver.MockWebServer;
import okhttp3.mockwebserver.RecordedRequest;
import okhttp3.mockwebserver.SocketPolicy;
import okhttp3.tls.HandshakeCertificates;
import okhttp3.tls.HeldCertificate;
import okio.Buffer;
import org.junit.After;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.pocketfleet.Hex;
import org.pocketfleet.Pem;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.SettingsException;
import org.pocketfleet.fleet.ActivateNodeRequest;
import org.pocketfleet.fleet.ActivateNodeResponse;

public class ConnectionTest {
  @Rule public final TemporaryFolder folder = new TemporaryFolder();
  private final MockWebServer web = new MockWebServer();
  private final ServerClock clock = new ServerClock(() -> System.currentTimeMillis() / 1000.0);
  private final HeldCertificate authority =
      new HeldCertificate.Builder().certificateAuthority(0).commonName("authority").build();
  private NodeKey key;

  @Before
  public void makeKey() throws Exception {
    key = FileNodeKey.loadOrCreate(new File(folder.getRoot(), "key.pem"));
  }

  @After
  public void shutDown() throws Exception {
    web.shutdown();
  }

  @Test
  public void requestsAreSigned() throws Exception {
    web.enqueue(FakeFleet.proto(ActivateNodeResponse.newBuilder().setNodeId(-7).build()));
    web.enqueue(new MockResponse());
    Connection connection = connection(null, clock);
    assertEquals(-7, activate(connection).getNodeId());
    activate(connection);
    RecordedRequest request = web.takeRequest();
    assertEquals("POST /v1/fleet/activate-node HTTP/1.1", request.getRequestLine());
    assertEquals("application/protobuf", request.getHeader("content-type"));
    assertEquals("identity", request.getHeader("accept-encoding"));
    byte[] pem = Base64.getDecoder().decode(request.getHeader("flwr-public-key"));
    assertArrayEquals(key.publicPem(), pem);
    Signature signature = Signature.getInstance("SHA256withECDSA");
    signature.initVerify(
        KeyFactory.getInstance("EC")
            .generatePublic(new X509EncodedKeySpec(Pem.decode("PUBLIC KEY", pem))));
    String timestamp = request.getHeader("flwr-timestamp");
    signature.update(timestamp.getBytes(StandardCharsets.US_ASCII));
    assertTrue(signature.verify(Base64.getDecoder().decode(request.getHeader("flwr-signature"))));
    assertEquals(
        "a signature is good for a while",
        timestamp,
        web.takeRequest().getHeader("flwr-timestamp"));
  }

  @Test
  public void aClockThatIsWrongIsSetAndTheCallRepeated() throws Exception {
    for (int hours : new int[] {-9, 9, 24 * 365 * 9}) {
      double offset = 3600.0 * hours;
      ServerClock wrong = new ServerClock(() -> System.currentTimeMillis() / 1000.0 + offset);
      web.enqueue(dated(401));
      web.enqueue(dated(200));
      activate(connection(null, wrong));
      assertEquals(-offset, wrong.offsetS(), 3);
      web.takeRequest();
      Instant second =
          Instant.parse(web.takeRequest().getHeader("flwr-timestamp").replace("+00:00", "Z"));
      assertTrue(Math.abs(Duration.between(second, Instant.now()).toMillis()) < 5000);
    }
  }

  @Test
  public void refusalsSayWhy() throws Exception {
    String activate = "answered activate-node with HTTP ";
    Object[][] cases = {
      {412, "{\"code\": 2004, \"detail\": \"Failed to activate.\"}", RefusedException.class, 2004},
      {409, "{\"code\": 2007, \"detail\": \"Run over\"}", RunOverException.class, 2007},
      {401, "", RefusedException.class, 0},
      {500, "", RefusedException.class, 0},
      {500, String.join("", Collections.nCopies(4000, "[")), RefusedException.class, 0},
      {500, "{\"code\": 99999999999}", RefusedException.class, 0},
      {503, "busy", UnreachableException.class, 0},
      {404, "{\"code\": true}", UnreachableException.class, 0},
      {302, "", UnreachableException.class, 0},
      {204, "", UnreachableException.class, 0},
    };
    for (Object[] each : cases) {
      int status = (Integer) each[0];
      MockResponse response = new MockResponse().setResponseCode(status);
      if (status != 204) {
        response.setBody((String) each[1]);
      }
      web.enqueue(response.setHeader("location", "http://localhost:1/"));
      PocketfleetException error = fails(connection(null, clock));
      assertEquals(each[2], error.getClass());
      assertTrue(error.getMessage(), error.getMessage().contains(activate + each[0]));
      if (error instanceof RefusedException) {
        assertEquals(each[3], ((RefusedException) error).code());
        assertEquals(each[0], ((RefusedException) error).status());
      }
    }
  }

  @Test
  public void answersThatAreNoneAreRefused() throws Exception {
    Map<MockResponse, Class<? extends PocketfleetException>> cases = new LinkedHashMap<>();
    cases.put(FakeFleet.bytes(new byte[] {-1, -1, -1}), MessageException.class);
    cases.put(FakeFleet.bytes(new byte[(1 << 20) + 1]), MessageException.class);
    cases.put(
        new MockResponse().setChunkedBody(new Buffer().write(new byte[3 << 20]), 10_000),
        MessageException.class);
    cases.put(
        new MockResponse().setHeader("content-length", "99999999999999"), MessageException.class);
    cases.put(
        new MockResponse()
            .setHeader("content-length", "1000")
            .setBody("short")
            .setHeader("content-length", "1000")
            .setSocketPolicy(SocketPolicy.DISCONNECT_AT_END),
        UnreachableException.class);
    cases.put(
        FakeFleet.bytes(new byte[100_000])
            .setSocketPolicy(SocketPolicy.DISCONNECT_DURING_RESPONSE_BODY),
        UnreachableException.class);
    cases.put(
        new MockResponse().setSocketPolicy(SocketPolicy.NO_RESPONSE), UnreachableException.class);
    for (Map.Entry<MockResponse, Class<? extends PocketfleetException>> each : cases.entrySet()) {
      web.enqueue(each.getKey());
      PocketfleetException error = fails(connection(null, clock));
      assertEquals(error.toString(), each.getValue(), error.getClass());
    }
  }

  @Test
  public void nobodyThere() throws Exception {
    int port;
    try (ServerSocket probe = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      port = probe.getLocalPort();
    }
    for (TlsTrust trust : new TlsTrust[] {null, trust(authority)}) {
      Connection connection = new Connection("127.0.0.1:" + port, key, clock, trust, 2);
      PocketfleetException error = fails(connection);
      assertEquals(
          "cannot connect to 127.0.0.1:" + port + ": Connection refused", error.getMessage());
      assertTrue(error instanceof UnreachableException);
    }
  }

  @Test
  public void addressesThatAreNoneAreNamed() throws Exception {
    for (String server :
        Arrays.asList(
            "",
            "host",
            "host:",
            ":8000",
            "host:0",
            "host:65536",
            "host:x",
            "::1:8000",
            "http://host:8000",
            "host:8000/x",
            "user@host:8000",
            "a b:8000",
            "[::1:8000")) {
      SettingsException error =
          assertThrows(server, SettingsException.class, () -> ServerAddress.url(server, true));
      assertTrue(error.getMessage(), error.getMessage().contains("expected HOST:PORT"));
    }
    assertEquals("https://[::1]:8000/", ServerAddress.url("[::1]:8000", true).toString());
    assertEquals("http://pi.local/", ServerAddress.url("pi.local:80", false).toString());
  }

  @Test
  public void theRightCertificateIsTrusted() throws Exception {
    serve(certificate().build());
    web.enqueue(new MockResponse());
    activate(connection(trust(authority), clock));
    assertTrue(web.takeRequest().getTlsVersion() != null);
  }

  @Test
  public void aPinnedKeyIsTrustedWhateverTheClockSays() throws Exception {
    HeldCertificate old = validity(certificate(), -10, -5).build();
    serve(old);
    web.enqueue(new MockResponse());
    activate(connection(TlsTrust.of(null, pin(old)), clock));
    assertDistrusted(TlsTrust.of(null, pin(authority)), "its key is not a pinned one");
  }

  @Test
  public void aPinBesideAnAuthorityIsNeededToo() throws Exception {
    HeldCertificate certificate = certificate().build();
    serve(certificate);
    web.enqueue(new MockResponse());
    byte[] pem = authority.certificatePem().getBytes(StandardCharsets.US_ASCII);
    activate(connection(TlsTrust.of(pem, pin(certificate)), clock));
    assertDistrusted(TlsTrust.of(pem, pin(authority)), "its key is not a pinned one");
  }

  @Test
  public void anotherAuthorityIsNotTrusted() throws Exception {
    serve(certificate().build());
    HeldCertificate other = new HeldCertificate.Builder().certificateAuthority(0).build();
    assertDistrusted(trust(other), "is --ca the right file?");
    assertDistrusted(TlsTrust.of(null, Collections.emptySet()), "is --ca the right file?");
  }

  @Test
  public void aCertificateForAnotherNameIsNotTrusted() throws Exception {
    for (boolean pinned : new boolean[] {false, true}) {
      HeldCertificate elsewhere =
          new HeldCertificate.Builder()
              .signedBy(authority)
              .commonName("localhost")
              .addSubjectAlternativeName("elsewhere.example")
              .build();
      try (MockWebServer server = new MockWebServer()) {
        server.useHttps(certificates(elsewhere).sslSocketFactory(), false);
        TlsTrust trust = pinned ? TlsTrust.of(null, pin(elsewhere)) : trust(authority);
        Connection connection =
            new Connection("localhost:" + server.getPort(), key, clock, trust, 2);
        PocketfleetException error = fails(connection);
        assertTrue(error.getMessage(), error.getMessage().contains("not valid for 'localhost'"));
        assertTrue(error instanceof SettingsException);
      }
    }
  }

  @Test
  public void aCertificateOutsideItsTimeSaysWhatTheClockSays() throws Exception {
    serve(validity(certificate(), -10, -5).build());
    assertDistrusted(trust(authority), "expired on ");
    assertDistrusted(trust(authority), "this device's clock says " + today());
  }

  @Test
  public void aCertificateOfTomorrowSaysWhatTheClockSays() throws Exception {
    serve(validity(certificate(), 5, 10).build());
    assertDistrusted(trust(authority), "not valid before ");
    assertDistrusted(trust(authority), "set the clock if that is wrong");
  }

  @Test
  public void aPlainPortIsNoTlsPortAndTheOtherWayRound() throws Exception {
    try (ServerSocket plain = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      Thread answer =
          new Thread(
              () -> {
                try (Socket socket = plain.accept()) {
                  socket
                      .getOutputStream()
                      .write("HTTP/1.1 400 Bad\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
                  socket.getInputStream().skip(1000);
                } catch (IOException gone) {
                  throw new UncheckedIOException(gone);
                }
              });
      answer.start();
      String server = "localhost:" + plain.getLocalPort();
      PocketfleetException error = fails(new Connection(server, key, clock, trust(authority), 2));
      answer.join();
      assertTrue(error.getMessage(), error.getMessage().contains("does not speak TLS as expect"));
      assertTrue(error instanceof SettingsException);
    }
    try (MockWebServer server = new MockWebServer()) {
      server.useHttps(certificates(certificate().build()).sslSocketFactory(), false);
      Connection plain = new Connection("localhost:" + server.getPort(), key, clock, null, 2);
      assertTrue(fails(plain) instanceof UnreachableException);
    }
  }

  @Test
  public void aLineCutDuringTheHandshakeIsNotTheServersFault() throws Exception {
    serve(certificate().build());
    web.enqueue(new MockResponse().setSocketPolicy(SocketPolicy.DISCONNECT_AT_START));
    PocketfleetException error = fails(connection(trust(authority), clock));
    assertTrue(error.toString(), error instanceof UnreachableException);
  }

  @Test
  public void authoritiesThatAreNoneAreNamed() {
    for (String pem : new String[] {"", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n"}) {
      SettingsException error =
          assertThrows(
              SettingsException.class,
              () -> TlsTrust.of(pem.getBytes(StandardCharsets.US_ASCII), Collections.emptySet()));
      assertTrue(
          error.getMessage(),
          error.getMessage().contains("not a PEM file of certificate authorities"));
    }
  }

  private void assertDistrusted(TlsTrust trust, String complaint) throws Exception {
    PocketfleetException error = fails(connection(trust, clock));
    assertTrue(error.toString(), error instanceof SettingsException);
    assertTrue(error.getMessage(), error.getMessage().contains("is not to be trusted ("));
    assertTrue(error.getMessage(), error.getMessage().contains(complaint));
  }

  private HeldCertificate.Builder certificate() {
    return new HeldCertificate.Builder()
        .signedBy(authority)
        .commonName("server")
        .addSubjectAlternativeName("localhost");
  }

  private static HeldCertificate.Builder validity(
      HeldCertificate.Builder builder, int fromDays, int untilDays) {
    long now = System.currentTimeMillis();
    return builder.validityInterval(
        now + TimeUnit.DAYS.toMillis(fromDays), now + TimeUnit.DAYS.toMillis(untilDays));
  }

  private void serve(HeldCertificate certificate) {
    web.useHttps(certificates(certificate).sslSocketFactory(), false);
  }

  private static HandshakeCertificates certificates(HeldCertificate certificate) {
    return new HandshakeCertificates.Builder().heldCertificate(certificate).build();
  }

  private static TlsTrust trust(HeldCertificate authority) throws SettingsException {
    byte[] pem = authority.certificatePem().getBytes(StandardCharsets.US_ASCII);
    return TlsTrust.of(pem, Collections.emptySet());
  }

  private static Set<String> pin(HeldCertificate certificate) {
    byte[] encoded = certificate.certificate().getPublicKey().getEncoded();
    return Collections.singleton(Base64.getEncoder().encodeToString(Hex.sha256().digest(encoded)));
  }

  private static String today() {
    return Instant.now().toString().substring(0, "2026-01-01".length());
  }

  private static MockResponse dated(int status) {
    ZonedDateTime now = ZonedDateTime.now(ZoneOffset.UTC);
    return new MockResponse()
        .setResponseCode(status)
        .setHeader("date", DateTimeFormatter.RFC_1123_DATE_TIME.format(now));
  }

  private Connection connection(TlsTrust trust, ServerClock at) throws SettingsException {
    return new Connection("localhost:" + web.getPort(), key, at, trust, 1);
  }

  private static ActivateNodeResponse activate(Connection connection) throws PocketfleetException {
    return connection.call(
        "activate-node",
        ActivateNodeRequest.getDefaultInstance(),
        ActivateNodeResponse.parser(),
        Session.SMALL,
        new Traffic());
  }

  private static PocketfleetException fails(Connection connection) {
    return assertThrows(PocketfleetException.class, () -> activate(connection));
  }
}
