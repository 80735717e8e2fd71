! A Fortran program that has its own MPI: a fabric on each half of its ranks, even and odd. Run by check_fortran.sh.
program fortran_mpi
    use, intrinsic :: iso_c_binding
    use mpi
    use weft
    implicit none
    integer :: rank, ranks, half, members, status, ierr
    real(c_double) :: sums(2)
    logical :: running
    type(weft_fabric) :: f

    call MPI_Init(ierr)
    call MPI_Comm_rank(MPI_COMM_WORLD, rank, ierr)
    call MPI_Comm_size(MPI_COMM_WORLD, ranks, ierr)
    call MPI_Comm_split(MPI_COMM_WORLD, mod(rank, 2), rank, half, ierr)
    call MPI_Comm_size(half, members, ierr)
    call weft_open_mpi(f, half, weft_open_options(threads=1), status)
    if (status /= WEFT_OK) error stop "no fabric"
    if (weft_world_size(f) /= members) error stop "the fabric is not of the communicator's ranks"
    sums = [real(rank, c_double), 1d0]
    call weft_sum_over_ranks(f, sums, status)
    if (status /= WEFT_OK .or. nint(sums(2)) /= members) error stop "a sum over the ranks"
    if (nint(sums(1)) /= sum_of_half(mod(rank, 2), ranks)) error stop "ranks of the other half took part"
    if (weft_close(f) /= 0) error stop "weft_close"
    call MPI_Comm_free(half, ierr)
    call MPI_Finalized(running, ierr)
    if (running) error stop "the program's MPI was ended"
    call MPI_Finalize(ierr)
contains
    pure integer function sum_of_half(first, ranks)
        integer, intent(in) :: first, ranks
        integer :: r
        sum_of_half = sum([(r, r=first, ranks - 1, 2)])
    end function
end program
