package org.pocketfleet.transport;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.Test;
import org.pocketfleet.SettingsException;

public class ClientConfigTest {
  @Test
  public void settingsThatMakeNoSenseAreNamed() {
    Map<ClientConfig.Builder, String> cases = new LinkedHashMap<>();
    cases.put(good().heartbeatSeconds(5), "10 to 1800");
    cases.put(good().heartbeatSeconds(Double.NaN), "10 to 1800");
    cases.put(good().pollShortestSeconds(9), "shortest wait");
    cases.put(good().pollShortestSeconds(0), "shortest wait");
    cases.put(good().insecure(true).caPem(new byte[1]), "no TLS");
    cases.put(good().insecure(true).pinnedKey("x"), "no TLS");
    cases.put(ClientConfig.builder().server("h:1"), "state directory");
    cases.forEach(
        (builder, complaint) -> {
          SettingsException error = assertThrows(SettingsException.class, builder::build);
          assertTrue(error.getMessage(), error.getMessage().contains(complaint));
        });
  }

  @Test
  public void defaultsAreThePythonClients() throws Exception {
    ClientConfig config = good().build();
    assertEquals(60, config.heartbeatSeconds(), 0);
    assertEquals(600, config.giveUpAfterSeconds(), 0);
    assertEquals(0.05, config.pollShortestSeconds(), 0);
    assertEquals(5, config.pollLongestSeconds(), 0);
    assertEquals(15, config.leaveWithinSeconds(), 0);
    assertEquals(1L << 30, config.maxMessageBytes());
  }

  private static ClientConfig.Builder good() {
    return ClientConfig.builder().server("host:1").stateDirectory(new File("state"));
  }
}
