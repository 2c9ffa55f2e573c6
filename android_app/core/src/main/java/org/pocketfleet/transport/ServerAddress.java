package org.pocketfleet.transport;

import okhttp3.HttpUrl;
import org.pocketfleet.SettingsException;

/** {@code HOST:PORT}, as a user gives it. */
public final class ServerAddress {
  private static final int MAX_PORT = 65535;

  private ServerAddress() {}

  /**
   * Makes the URL of the server.
   *
   * @param server {@code HOST:PORT}; an IPv6 address in brackets
   * @throws SettingsException it is something else
   */
  public static HttpUrl url(String server, boolean tls) throws SettingsException {
    int colon = server.lastIndexOf(':');
    String host = server.substring(0, Math.max(colon, 0));
    String port = server.substring(colon + 1);
    boolean bracketed = host.startsWith("[") && host.endsWith("]");
    if (!host.isEmpty() && port.matches("[0-9]{1,5}") && (bracketed || host.indexOf(':') < 0)) {
      int number = Integer.parseInt(port);
      try {
        if (number > 0 && number <= MAX_PORT) {
          String bare = bracketed ? host.substring(1, host.length() - 1) : host;
          return new HttpUrl.Builder()
              .scheme(tls ? "https" : "http")
              .host(bare)
              .port(number)
              .build();
        }
      } catch (IllegalArgumentException notAHost) {
        throw wrong(server, notAHost);
      }
    }
    throw wrong(server, null);
  }

  private static SettingsException wrong(String server, Throwable cause) {
    return new SettingsException(
        "server address '"
            + server
            + "': expected HOST:PORT, such as 192.168.1.10:8000 or [::1]:8000",
        cause);
  }
}
