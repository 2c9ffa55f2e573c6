package org.pocketfleet.desktop;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import org.pocketfleet.SettingsException;
import org.pocketfleet.transport.ClientConfig;

/** The options that say where a client works for whom; the same as the Python client's. */
final class ClientOptions {
  private ClientOptions() {}

  /** Adds the options to a command's. */
  static Options addTo(Options options) {
    return options
        .required("--server", "HOST:PORT", "address of the SuperLink")
        .required("--state", "DIR", "this client's own directory: its key, its unfinished work")
        .optional("--ca", "FILE", "PEM of the authority behind the server's certificate")
        .optional(
            "--pin", "SHA256", "base64 of the SHA-256 of the server's public key, instead of --ca")
        .flag("--insecure", "no TLS: whoever is on the way can read and alter all")
        .optional(
            "--give-up-after",
            "S",
            "end when the server does not answer or admit this client for this long; 0: never",
            "600")
        .optional(
            "--heartbeat",
            "S",
            "the server counts this client as gone after twice as long without a sign",
            "60")
        .optional("--poll-longest", "S", "longest wait between two questions for work", "5")
        .optional(
            "--leave-within",
            "S",
            "when leaving, wait this long for the server to take the last reply",
            "15")
        .flag("--verbose", "log details, too (-v)");
  }

  /** Reads them; the rest has its defaults. */
  static ClientConfig.Builder config(Options options)
      throws Options.UsageException, SettingsException {
    double longestS = options.number("--poll-longest");
    ClientConfig.Builder config =
        ClientConfig.builder()
            .server(options.text("--server"))
            .stateDirectory(new File(options.text("--state")))
            .insecure(options.has("--insecure"))
            .heartbeatSeconds(options.number("--heartbeat"))
            .giveUpAfterSeconds(options.number("--give-up-after"))
            .pollLongestSeconds(longestS)
            .leaveWithinSeconds(options.number("--leave-within"));
    if (options.has("--ca")) {
      config.caPem(read(options.text("--ca")));
    }
    if (options.has("--pin")) {
      config.pinnedKey(options.text("--pin"));
    }
    return config;
  }

  /**
   * Reads a file that the user named.
   *
   * @throws SettingsException it cannot be read
   */
  static byte[] read(String path) throws SettingsException {
    try {
      return Files.readAllBytes(new File(path).toPath());
    } catch (IOException error) {
      String reason = new File(path).exists() ? error.getMessage() : "no such file";
      throw new SettingsException(path + ": cannot be read: " + reason, error);
    }
  }
}
