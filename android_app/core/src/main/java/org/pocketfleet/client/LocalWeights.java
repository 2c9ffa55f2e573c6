package org.pocketfleet.client;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import org.pocketfleet.Hex;
import org.pocketfleet.state.StateException;
import org.pocketfleet.tensor.SafeTensors;
import org.pocketfleet.tensor.Tensor;
import org.pocketfleet.tensor.TensorFileException;

/**
 * A client's own weights from one round to the next, on the disk: by run, bundle and round, of one
 * run at a time.
 *
 * <p>A client may be killed at any point and do its round again, which starts from the weights
 * after the round before. So two rounds are kept, the one that was started from and the one that
 * was done.
 */
final class LocalWeights {
  private static final int NAME_DIGITS = 32;

  private final File directory;

  /** Keeps weights in a directory, in which nothing else may be; it is made when it is needed. */
  LocalWeights(File directory) {
    this.directory = directory;
  }

  /**
   * The weights that a plan starts from.
   *
   * @param bundle hash of the bundle
   * @throws NoLocalWeightsException there are none of that round, or the file is damaged
   */
  Map<String, Tensor> load(Plan plan, String bundle) throws TaskException, NoLocalWeightsException {
    long round = plan.startRound();
    try {
      byte[] content = Files.readAllBytes(file(plan, bundle, round).toPath());
      return SafeTensors.read(ByteBuffer.wrap(content));
    } catch (IOException | TensorFileException error) {
      throw new NoLocalWeightsException(
          "this client has no weights of its own after round "
              + round
              + " of run '"
              + plan.run()
              + "'; send it all variables",
          error);
    }
  }

  /**
   * Keeps the weights after a plan's round, and those that it started from; forgets all others.
   *
   * @throws StateException they cannot be written
   */
  void save(Plan plan, String bundle, Map<String, Tensor> weights)
      throws TaskException, StateException {
    File file = file(plan, bundle, plan.round());
    File start = plan.startsFromOwn() ? file(plan, bundle, plan.startRound()) : file;
    File part = new File(directory, "part");
    try {
      Files.createDirectories(directory.toPath());
      File[] others = directory.listFiles();
      for (File other : others == null ? new File[0] : others) {
        if (!other.equals(start) && !other.equals(file)) {
          Files.delete(other.toPath());
        }
      }
      try (FileChannel channel =
          FileChannel.open(
              part.toPath(), StandardOpenOption.WRITE, StandardOpenOption.CREATE_NEW)) {
        SafeTensors.write(weights, channel);
        channel.force(true);
      }
      Files.move(part.toPath(), file.toPath(), StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException error) {
      throw new StateException(file + ": cannot be written: " + error.getMessage(), error);
    }
  }

  private File file(Plan plan, String bundle, long round) throws TaskException {
    byte[] name = (plan.run() + "\n" + bundle).getBytes(StandardCharsets.UTF_8);
    String hash = Hex.of(Hex.sha256().digest(name)).substring(0, NAME_DIGITS);
    return new File(directory, hash + "-" + round + ".safetensors");
  }
}
