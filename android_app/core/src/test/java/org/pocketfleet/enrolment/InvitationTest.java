package org.pocketfleet.enrolment;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import com.google.gson.JsonObject;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.security.KeyPairGenerator;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;
import okhttp3.tls.HeldCertificate;
import org.junit.BeforeClass;
import org.junit.Test;

public class InvitationTest {
  private static String ca;
  private static String trust;

  @BeforeClass
  public static void makeKeys() throws Exception {
    ca = new HeldCertificate.Builder().certificateAuthority(0).build().certificatePem();
    trust = pem("EC", 256);
  }

  private static String pem(String algorithm, int bits) throws Exception {
    KeyPairGenerator generator = KeyPairGenerator.getInstance(algorithm);
    generator.initialize(bits);
    byte[] der = generator.generateKeyPair().getPublic().getEncoded();
    return "-----BEGIN PUBLIC KEY-----\n"
        + Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(der)
        + "\n-----END PUBLIC KEY-----\n";
  }

  private static String json(String server, String caPem, String trustPem) {
    JsonObject object = new JsonObject();
    object.addProperty("server", server);
    if (caPem != null) {
      object.addProperty("ca", caPem);
    }
    object.addProperty("trust", trustPem);
    return object.toString();
  }

  private static Invitation read(String text) throws Exception {
    return Invitation.read(new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8)));
  }

  @Test
  public void goodInvitationsAreRead() throws Exception {
    for (String server : new String[] {"192.168.1.10:8000", "fleet.example:443", "[::1]:65535"}) {
      Invitation invitation = read("\n " + json(server, ca, trust) + "\n");
      assertEquals(server, invitation.server());
      assertEquals(ca, invitation.ca());
      assertEquals(trust, invitation.trust());
    }
    assertNull(read(json("a:1", null, trust)).ca());
    assertTrue(Invitation.fingerprint(trust).matches("([0-9a-f]{4} ){3}[0-9a-f]{4}"));
    assertEquals(
        Invitation.fingerprint(trust), Invitation.fingerprint(trust.replace("\n", "\r\n")));
  }

  @Test
  public void hostileInvitationsAreRefused() throws Exception {
    String good = json("a:1", ca, trust);
    Map<String, String> cases = new LinkedHashMap<>();
    cases.put("", "not an invitation");
    cases.put("[]", "not an invitation");
    cases.put("{", "not an invitation");
    cases.put("{\"server\": \"a:1\"", "not an invitation");
    cases.put("{server: 'a:1'}", "not an invitation");
    cases.put("{}", "names no server");
    cases.put("{\"server\": \"a:1\"}", "has no key");
    cases.put("{\"server\": 7}", "each once");
    cases.put("{\"server\": {\"a\": 1}}", "each once");
    cases.put("{\"server\": \"a:1\", \"server\": \"b:1\"}", "each once");
    cases.put("{\"server\": \"a:1\", \"insecure\": \"true\"}", "each once");
    cases.put(good + "{}", "");
    cases.put(good + "x", "");
    cases.put(json("http://a:1", ca, trust), "server address");
    cases.put(json("a", ca, trust), "server address");
    cases.put(json("a:0", ca, trust), "server address");
    cases.put(json("a:65536", ca, trust), "server address");
    cases.put(json("a:99999999999", ca, trust), "server address");
    cases.put(json("a b:1", ca, trust), "server address");
    cases.put(json("a:1/../x", ca, trust), "server address");
    cases.put(json("user@a:1", ca, trust), "server address");
    cases.put(json("a:1", "", trust), "'ca'");
    cases.put(
        json("a:1", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", trust), "'ca'");
    cases.put(json("a:1", trust, trust), "'ca'");
    cases.put(json("a:1", ca, ca), "'trust'");
    cases.put(
        json("a:1", ca, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"), "'trust'");
    cases.put(json("a:1", ca, pem("RSA", 2048)), "'trust'");
    cases.put(json("a:1", ca, trust + trust), "'trust'");
    for (Map.Entry<String, String> each : cases.entrySet()) {
      InvitationException error =
          assertThrows(each.getKey(), InvitationException.class, () -> read(each.getKey()));
      assertTrue(
          each.getKey() + ": " + error.getMessage(), error.getMessage().contains(each.getValue()));
    }
  }

  @Test
  public void longAndDeepAndBrokenFilesAreRefused() {
    StringBuilder deep = new StringBuilder("{\"server\":");
    for (int i = 0; i < 60_000; i++) {
      deep.append('[');
    }
    assertThrows(InvitationException.class, () -> read(deep.toString()));
    String spaces = String.join("", java.util.Collections.nCopies(70_000, " "));
    InvitationException tooLong =
        assertThrows(InvitationException.class, () -> read(json("a:1", ca, trust) + spaces));
    assertTrue(tooLong.getMessage().contains("too long"));
    byte[] notUtf8 = {'{', '"', (byte) 0xc3, '"', '}'};
    assertThrows(InvitationException.class, () -> Invitation.parse(notUtf8));
  }
}
