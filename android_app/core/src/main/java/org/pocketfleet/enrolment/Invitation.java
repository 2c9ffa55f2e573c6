package org.pocketfleet.enrolment;

import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.StringReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What a server's operator hands to the owner of a device, in a file: a JSON object of {@code
 * server} ({@code HOST:PORT}), {@code ca} (PEM of the certificates that may vouch for the server;
 * optional) and {@code trust} (PEM of the public key that signs models). It is taken whole or not
 * at all.
 */
public final class Invitation {
  /** No file longer than this is read. */
  public static final int MAX_BYTES = 64 * 1024;

  private static final Pattern ADDRESS =
      Pattern.compile("(\\[[0-9A-Fa-f:.]{2,45}\\]|[A-Za-z0-9._-]{1,253}):([0-9]{1,5})");
  private static final Pattern PUBLIC_KEY =
      Pattern.compile(
          "\\s*-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\\s]+)-----END PUBLIC KEY-----\\s*");
  private static final String CERTIFICATE = "-----BEGIN CERTIFICATE-----";

  private final String server;
  private final String ca;
  private final String trust;

  private Invitation(String server, String ca, String trust) {
    this.server = server;
    this.ca = ca;
    this.trust = trust;
  }

  /**
   * Reads an invitation to its end.
   *
   * @throws InvitationException it is too long, or is not one; the message says what is wrong
   * @throws IOException it cannot be read
   */
  public static Invitation read(InputStream in) throws InvitationException, IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    byte[] block = new byte[8192];
    for (int n = in.read(block); n >= 0; n = in.read(block)) {
      bytes.write(block, 0, n);
      if (bytes.size() > MAX_BYTES) {
        throw new InvitationException("this file is too long for an invitation");
      }
    }
    return parse(bytes.toByteArray());
  }

  /**
   * Parses an invitation.
   *
   * @param utf8 the whole file
   * @throws InvitationException it is not one; the message says what is wrong
   */
  public static Invitation parse(byte[] utf8) throws InvitationException {
    Map<String, String> values = values(utf8);
    String server = values.get("server");
    if (server == null) {
      throw new InvitationException("the invitation names no server");
    }
    checkServer(server);
    String ca = values.get("ca");
    if (ca != null) {
      checkCertificates(ca);
    }
    String trust = values.get("trust");
    if (trust == null) {
      throw new InvitationException(
          "the invitation has no key ('trust') by which models could be trusted");
    }
    checkKey(trust);
    return new Invitation(server, ca, trust);
  }

  /**
   * Checks an address.
   *
   * @throws InvitationException it is not {@code HOST:PORT}
   */
  public static void checkServer(String server) throws InvitationException {
    Matcher matcher = ADDRESS.matcher(server);
    int port = matcher.matches() ? Integer.parseInt(matcher.group(2)) : 0;
    if (port < 1 || port > 65535) {
      String shown = server.length() > 60 ? server.substring(0, 60) + "…" : server;
      throw new InvitationException(
          "server address '" + shown + "': expected host:port, such as 192.168.1.10:8000");
    }
  }

  /**
   * Checks the PEM of one or more certificates.
   *
   * @throws InvitationException there is none, or one cannot be read
   */
  public static void checkCertificates(String pem) throws InvitationException {
    Collection<? extends Certificate> certificates;
    try {
      certificates =
          CertificateFactory.getInstance("X.509")
              .generateCertificates(
                  new ByteArrayInputStream(pem.getBytes(StandardCharsets.US_ASCII)));
    } catch (GeneralSecurityException error) {
      throw new InvitationException("the server's certificate ('ca') cannot be read", error);
    }
    if (certificates.isEmpty() || !pem.contains(CERTIFICATE)) {
      throw new InvitationException("the server's certificate ('ca') is not a certificate in PEM");
    }
  }

  /**
   * Checks the PEM of a public key.
   *
   * @throws InvitationException it is not the PEM of an elliptic-curve public key
   */
  public static void checkKey(String pem) throws InvitationException {
    Matcher matcher = PUBLIC_KEY.matcher(pem);
    try {
      if (!matcher.matches()) {
        throw new IllegalArgumentException("not PEM");
      }
      byte[] der = Base64.getMimeDecoder().decode(matcher.group(1));
      KeyFactory.getInstance("EC").generatePublic(new X509EncodedKeySpec(der));
    } catch (GeneralSecurityException | IllegalArgumentException error) {
      throw new InvitationException(
          "the key for models ('trust') is not an elliptic-curve public key in PEM", error);
    }
  }

  private static Map<String, String> values(byte[] utf8) throws InvitationException {
    Map<String, String> values = new LinkedHashMap<>();
    try {
      // A decoder refuses what is not UTF-8; new String() would put question marks.
      String text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(utf8)).toString();
      JsonReader reader = new JsonReader(new StringReader(text));
      reader.setStrictness(Strictness.STRICT);
      reader.beginObject();
      while (reader.hasNext()) {
        String name = reader.nextName();
        boolean known = name.equals("server") || name.equals("ca") || name.equals("trust");
        if (!known || values.containsKey(name) || reader.peek() != JsonToken.STRING) {
          throw new InvitationException(
              "an invitation holds the texts server, ca and trust, each once, and nothing else");
        }
        values.put(name, reader.nextString());
      }
      reader.endObject();
      if (reader.peek() != JsonToken.END_DOCUMENT) {
        throw new InvitationException("something follows the invitation in its file");
      }
    } catch (IOException | IllegalStateException error) {
      throw new InvitationException("this file is not an invitation", error);
    }
    return values;
  }

  /** {@code HOST:PORT}. */
  public String server() {
    return server;
  }

  /** PEM of the certificates that may vouch for the server; null: those that the system trusts. */
  public String ca() {
    return ca;
  }

  /** PEM of the public key that signs models. */
  public String trust() {
    return trust;
  }

  /** A short name of a PEM text, for people to compare: sixteen hexadecimal digits in groups. */
  public static String fingerprint(String pem) {
    byte[] hash;
    try {
      String body = pem.replaceAll("-----[A-Z ]+-----", "");
      hash = MessageDigest.getInstance("SHA-256").digest(Base64.getMimeDecoder().decode(body));
    } catch (GeneralSecurityException error) {
      throw new AssertionError("every Java has SHA-256", error);
    }
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < 8; i++) {
      text.append(i > 0 && i % 2 == 0 ? " " : "");
      text.append(String.format(Locale.ROOT, "%02x", hash[i]));
    }
    return text.toString();
  }
}
