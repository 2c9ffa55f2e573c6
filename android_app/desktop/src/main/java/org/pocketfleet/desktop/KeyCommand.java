package org.pocketfleet.desktop;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.transport.NodeKey;
import org.pocketfleet.transport.NodeKeys;

/** {@code key}: prints this device's public key. */
final class KeyCommand {
  private static final String EXAMPLES =
      "  pocketfleet-client key --state ~/.pocketfleet > board-3.pem\n"
          + "  pocketfleet-client key --state ~/.pocketfleet --format ssh > board-3.pub";

  private KeyCommand() {}

  /** Runs the command and tells its exit code. */
  static int run(List<String> arguments) throws Options.UsageException, PocketfleetException {
    Options options =
        new Options(
                "pocketfleet-client key",
                "Print the public key that the server has to know, making the key if there is none.",
                EXAMPLES)
            .required("--state", "DIR", "this client's own directory: its key, its unfinished work")
            .optional(
                "--format",
                "FORM",
                "pem, or ssh: what `flwr supernode register` wants of it",
                "pem")
            .flag("--verbose", "log details, too (-v)");
    if (!options.parse(arguments)) {
      return 0;
    }
    String format = options.choice("--format", "pem", "ssh");
    NodeKey key = Service.key(new File(options.text("--state")));
    if (format.equals("ssh")) {
      System.out.println(NodeKeys.ssh(key));
    } else {
      System.out.print(new String(key.publicPem(), StandardCharsets.US_ASCII));
    }
    return 0;
  }
}
